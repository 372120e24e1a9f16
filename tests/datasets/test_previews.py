"""Previews in kedro-viz: a renamed preview type shows nothing and no error."""

import inspect
import re
from pathlib import Path
from typing import Any

import kedro_viz
import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import AbstractDataset

from conftest import ROOT
from timellm_pipeline import datasets
from timellm_pipeline.datasets import previews

TYPES = {"TablePreview": "table", "JSONPreview": "json", "PlotlyPreview": "plotly"}
SAVED = {
    "AtomicJSONDataset": ({"a": 1}, "JSONPreview"),
    "AtomicTextDataset": ("a\nb", "JSONPreview"),
    "AtomicParquetDataset": (pd.DataFrame({"a": [1]}), "TablePreview"),
    "AtomicCSVDataset": (pd.DataFrame({"a": [1]}), "TablePreview"),
    "AtomicPlotDataset": (go.Figure(go.Scatter(y=[1, 2])), "PlotlyPreview"),
}


def metadata_of(dataset: AbstractDataset[Any, Any]) -> Any:
    """What kedro-viz's server sends about a data set."""
    from kedro_viz.models.flowchart.node_metadata import DataNodeMetadata
    from kedro_viz.models.flowchart.nodes import GraphNode

    node = GraphNode.create_data_node("1", "some_data", None, set(), dataset, set())
    return DataNodeMetadata(data_node=node)


def test_kedro_vizs_page_knows_every_preview_type() -> None:
    """The names are looked up in the page's JavaScript; other names are drawn as nothing."""
    (script,) = (Path(kedro_viz.__file__).parent / "html/assets").glob("index-*.js")
    text = script.read_text(encoding="utf-8")
    (known,) = re.findall(r"\{PlotlyPreview:[^}]+\}", text)
    for name, kind in TYPES.items():
        assert f'{name}:"{kind}"' in known
        assert getattr(previews, name).__name__ == name


@pytest.mark.filterwarnings("ignore")  # kedro-viz's own dependencies warn of each other
@pytest.mark.parametrize("name", SAVED)
def test_kedro_viz_recognises_the_preview_of_every_kind_of_result(name: str, tmp_path: Path) -> None:
    """As its server reads it: the type's name and the preview's content."""
    data, kind = SAVED[name]
    dataset = getattr(datasets, name)(filepath=(tmp_path / "result").as_posix())
    dataset.save(data)
    found = metadata_of(dataset)
    assert found.preview_type == kind and found.preview


@pytest.mark.filterwarnings("ignore")  # the same
def test_kedro_viz_recognises_the_preview_of_the_raw_series() -> None:
    """The first thing that a user clicks on."""
    found = metadata_of(datasets.RawSeriesDataset(filepath=str(ROOT / "data/01_raw/synthetic_hourly.csv")))
    assert found.preview_type == "TablePreview" and len(found.preview["data"]) == 5


@pytest.mark.parametrize("name", datasets.__all__)
def test_no_data_set_has_a_preview_of_another_type(name: str) -> None:
    """`-> dict` is valid Python and shows nothing."""
    preview = getattr(getattr(datasets, name), "preview", None)
    if preview is not None:
        assert inspect.signature(preview).return_annotation.__name__ in TYPES


def test_no_private_module_of_kedro_datasets_is_imported() -> None:
    """It may be gone in its next release."""
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.findall(r"kedro_datasets\S*\._\w+", path.read_text(encoding="utf-8")), path
