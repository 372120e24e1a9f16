"""The layers: imports go one way and in no cycle, Kedro stays above, torch is imported only when it is needed."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "src/timellm_pipeline"
LAYERS = [
    "durations",
    "errors",
    "diagnosis",
    "logs",
    "files",
    "versions",
    "parameters",
    "workers",
    "series",
    "linear",
    "model",
    "evaluation",
    "plots",
    "training",
    "retraining",
    "datasets",
    "pipelines",
]
LIBRARY = LAYERS[: LAYERS.index("datasets")]
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


def modules(layer: str) -> list[Path]:
    return sorted((PACKAGE / layer).rglob("*.py")) or [PACKAGE / f"{layer}.py"]


def dotted(path: Path) -> str:
    """Import name of a module."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_layers_below_it(layer: str) -> None:
    """With imports both ways, no layer could be understood or used without the others."""
    allowed = set(LAYERS[: LAYERS.index(layer) + 1]) | {"__version__"}
    for path in modules(layer):
        for name in imported(path):
            if name.startswith("timellm_pipeline."):
                assert name.split(".")[1] in allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_no_modules_import_each_other_in_a_cycle() -> None:
    """Imports inside functions and for type checking count: a cycle is one module in several files."""
    names = {dotted(path): path for path in PACKAGE.rglob("*.py")}
    graph = {
        name: {one for one in imported(path) if one in names and one not in (name, "timellm_pipeline")}
        for name, path in names.items()
        if name != "timellm_pipeline"  # exports TimeLLM on first use
    }
    for package in [name for name in graph if names[name].name == "__init__.py"]:
        graph[package] = set()  # a package's __init__ collects names of its own modules
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert len(order) > 100 and order.index("timellm_pipeline.model.saved") < order.index(
        "timellm_pipeline.model.timellm"
    )


@pytest.mark.parametrize("layer", LIBRARY)
def test_the_library_needs_no_kedro(layer: str) -> None:
    """A GPU machine or a notebook uses these layers without Kedro."""
    for path in modules(layer):
        assert not {name for name in imported(path) if name.split(".")[0] in ("kedro", "kedro_datasets")}, path


def test_a_type_carries_its_facts() -> None:
    """Facts in `DataFrame.attrs` are lost by most operations of pandas, and no signature names them."""
    for path in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        assert not [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "attrs"], path
        compared = [node for node in nodes if isinstance(node, ast.Compare)]
        assert not [node for node in compared if "'date'" in ast.unparse(node)], f"{path} singles out a column by name"


def test_the_network_knows_nothing_of_files_tables_or_devices() -> None:
    """The forward pass can then be tested, compiled or distributed without the rest."""
    known = imported(PACKAGE / "model/network.py")
    assert not {name for name in known if name.split(".")[0] in ("pathlib", "os", "pandas", "json", "safetensors")}
    assert not known & {f"timellm_pipeline.model.{name}" for name in ("saved", "compute", "backbone", "timellm")}


def test_no_module_holds_more_than_one_idea() -> None:
    """Past some three hundred lines nobody finds the place for a change."""
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


def test_a_forecast_by_the_linear_part_alone_imports_no_torch() -> None:
    """A model whose alpha is 0 answers within three seconds."""
    code = (
        "import sys; import timellm_pipeline.model.forecast_tables, timellm_pipeline.model.saved; "
        "import timellm_pipeline.plots.forecast, timellm_pipeline.evaluation.backtest; "
        "from timellm_pipeline.workers.group import WorkerGroup; assert WorkerGroup.current().size == 1; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
