"""The shape of the pipelines: what viz shows, and that no parameter slips by unchecked."""

from typing import Any

import pytest
import yaml
from kedro.framework.startup import bootstrap_project
from kedro.validation.type_extractor import TypeExtractor

from conftest import ROOT
from timellm_pipeline.parameters.root import GROUP_MODELS
from timellm_pipeline.pipeline_registry import register_pipelines

CATALOG: dict[str, Any] = yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text(encoding="utf-8"))
PIPELINES = register_pipelines()


@pytest.mark.parametrize("name", PIPELINES)
def test_every_parameter_of_every_node_arrives_as_its_model(name: str) -> None:
    """Kedro skips validation in silence in half a dozen cases; a node would then get a raw dict."""
    for node in PIPELINES[name].nodes:
        found = TypeExtractor({name: PIPELINES[name]})._extract_types_from_node(node)
        for wanted in node.inputs:
            group = wanted.removeprefix("params:")
            if wanted.startswith("params:") and group in GROUP_MODELS:
                assert found.get(group) is GROUP_MODELS[group], f"{node.name}: {wanted}"


@pytest.mark.parametrize("name", PIPELINES)
def test_every_data_set_is_declared_with_a_layer(name: str) -> None:
    """An undeclared name becomes a MemoryDataset that Kedro deep-copies and nobody can find again."""
    for wanted in PIPELINES[name].datasets():
        if not wanted.startswith("params:"):
            assert CATALOG[wanted]["metadata"]["kedro-viz"]["layer"], wanted


def test_every_declared_data_set_is_used() -> None:
    """A catalog entry nobody reads or writes misleads."""
    used = set().union(*(pipeline.datasets() for pipeline in PIPELINES.values()))
    assert {name for name in CATALOG if not name.startswith("_")} == {n for n in used if not n.startswith("params:")}


@pytest.mark.filterwarnings("ignore")  # kedro-viz's own dependencies warn of each other; none of it is ours
def test_the_viewer_shows_the_chain_with_layers_namespaces_and_previews() -> None:
    """The lineage is one of the three ways the project is used."""
    from fastapi.testclient import TestClient
    from kedro_viz.api.apps import create_api_app_from_project
    from kedro_viz.server import load_and_populate_data

    bootstrap_project(ROOT)
    load_and_populate_data(ROOT, package_name="timellm_pipeline")
    shown = TestClient(create_api_app_from_project(ROOT)).get("/api/main").json()
    layers = ["raw", "intermediate", "primary", "model input", "models", "reporting"]
    assert [layer for layer in shown["layers"] if layer in layers] == layers
    names = {node["full_name"] if "full_name" in node else node["name"] for node in shown["nodes"]}
    assert {"raw_series", "timellm_model", "step_checkpoints", "test_metrics"} <= names
    assert {"data", "train", "evaluate"} <= {
        node["name"] for node in shown["nodes"] if node["type"] == "modularPipeline"
    }
    assert {pipeline["id"] for pipeline in shown["pipelines"]} == set(PIPELINES)
