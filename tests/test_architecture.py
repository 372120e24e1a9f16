"""The rooms: imports go one way, Kedro stays above, torch comes only when it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "src/timellm_pipeline"
ROOMS = [
    "errors",
    "diagnosis",
    "logs",
    "files",
    "versions",
    "parameters",
    "series",
    "model",
    "evaluation",
    "training",
    "retraining",
    "datasets",
    "pipelines",
]
LIBRARY = ROOMS[: ROOMS.index("datasets")]
LONGEST = 320


def imported(path: Path) -> set[str]:
    """Full names of what a module imports, at its top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def modules(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    """A circle of rooms can no longer be understood, or used, one by one."""
    allowed = set(ROOMS[: ROOMS.index(room) + 1]) | {"__version__"}
    for path in modules(room):
        for name in imported(path):
            if name.startswith("timellm_pipeline."):
                assert name.split(".")[1] in allowed, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("room", LIBRARY)
def test_the_library_needs_no_kedro(room: str) -> None:
    """A GPU machine or a notebook uses these rooms without Kedro."""
    for path in modules(room):
        assert not {name for name in imported(path) if name.split(".")[0] in ("kedro", "kedro_datasets")}, path


def test_no_module_holds_more_than_one_idea() -> None:
    """Past some three hundred lines nobody finds the room for a change."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {str(path): size for path, size in sizes.items() if size > LONGEST}


def test_nothing_is_unpickled_and_no_remote_code_is_run() -> None:
    """A model or checkpoint from elsewhere must not be able to run code."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert "pickle" not in imported(path), path
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            options = {option.arg: ast.unparse(option.value) for option in call.keywords}
            if ast.unparse(call.func) == "torch.load":
                assert options.get("weights_only") == "True", path
            assert options.get("trust_remote_code", "False") == "False", path


def test_the_registry_and_the_data_nodes_import_no_torch() -> None:
    """torch takes seconds: parameter errors and the run plan have to come before it."""
    code = (
        "import sys; from timellm_pipeline.pipeline_registry import register_pipelines; register_pipelines();"
        "import timellm_pipeline.settings; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
