"""What the data sets hold on disk is what was in memory: values, facts and digests."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from conftest import make_panel, small_parameters
from timellm_pipeline.series.borders import SplitBorders
from timellm_pipeline.series.panel import Panel, Source
from timellm_pipeline.series.panel_file import KEY, find_damage, read_index, read_panel, write_index, write_panel
from timellm_pipeline.series.prepare import Prepared, prepare
from timellm_pipeline.series.segments import Segments


@pytest.fixture
def prepared(raw_series: pd.DataFrame) -> Prepared:
    """Everything that the data path makes of a series with gaps."""
    gappy = raw_series.drop(index=[100, 101]).reset_index(drop=True)
    gappy.loc[200, "OT"] = np.nan
    return prepare(gappy, small_parameters(data={"gaps": "drop_windows"}))


def assert_equal(one: Any, other: Any) -> None:
    """Every field of two dataclasses is equal, arrays with their types."""
    assert type(one) is type(other)
    for field in fields(one):
        here, there = getattr(one, field.name), getattr(other, field.name)
        if isinstance(here, np.ndarray):
            assert here.dtype == there.dtype, field.name
            np.testing.assert_array_equal(here, there)
        elif isinstance(here, dict):
            for key, value in here.items():
                assert_equal(value, there[key]) if isinstance(value, Segments) else None
        else:
            assert here == there, field.name


@pytest.mark.parametrize("name", ["series", "scaled"])
def test_a_panel_is_read_back_as_it_was(prepared: Prepared, name: str, tmp_path: Path) -> None:
    """Without it frequency, zone or gaps would be lost between two nodes, but only when results are saved."""
    panel = prepared.series if name == "series" else prepared.training.scaled
    assert len(panel.filled)
    write_panel(panel, tmp_path / "panel.parquet")
    again = read_panel(tmp_path / "panel.parquet")
    assert_equal(panel, again)
    assert again.digest() == panel.digest()


def test_a_panel_of_series_of_other_lengths_in_a_zone_is_read_back(tmp_path: Path) -> None:
    """Without it only wide tables without a zone could be stored."""
    panel = Panel(
        ids=("店 1", "a,b"),
        values=np.arange(7, dtype=np.float64),
        offsets=np.array([0, 3, 7]),
        first=np.array([2, 0]),
        start=pd.Timestamp("2020-01-31"),
        frequency="ME",
        zone="+02:00",
        source=Source("a.csv", "0" * 64, 7),
    )
    write_panel(panel, tmp_path / "panel.parquet")
    assert_equal(panel, read_panel(tmp_path / "panel.parquet"))


def test_other_programs_read_a_panel_as_a_long_table(tmp_path: Path) -> None:
    """Without it the file could be opened by this package alone."""
    write_panel(make_panel({"A": [1.0, 2.0], "B": [3.0, 4.0]}), tmp_path / "panel.parquet")
    table = pd.read_parquet(tmp_path / "panel.parquet")
    assert table.columns.tolist() == ["unique_id", "ds", "y"]
    assert table["unique_id"].tolist() == ["A", "A", "B", "B"] and table["y"].tolist() == [1, 2, 3, 4]
    assert table["ds"].tolist() == list(pd.date_range("2020-01-01", periods=2, freq="h")) * 2


def test_a_window_index_is_read_back_as_it_was(prepared: Prepared, tmp_path: Path) -> None:
    """Without it training from saved data would see other windows than training in a notebook."""
    index = prepared.training.index
    write_index(index, tmp_path / "index.parquet")
    again = read_index(tmp_path / "index.parquet")
    assert again.ids == index.ids and again.facts == index.facts and list(again.splits) == list(index.splits)
    for split, segments in index.splits.items():
        assert_equal(segments, again.splits[split])


def test_a_file_of_an_earlier_version_or_a_cut_file_is_damage(tmp_path: Path) -> None:
    """Without it an old catalog entry would end in a KeyError."""
    old, cut = tmp_path / "old.parquet", tmp_path / "cut.parquet"
    pd.DataFrame({"y": [1.0]}).to_parquet(old)
    cut.write_bytes(old.read_bytes()[:-10])
    write_panel(make_panel({"A": [1.0, 2.0]}), tmp_path / "good.parquet")
    assert "earlier version" in str(find_damage(old)) and "incomplete Parquet" in str(find_damage(cut))
    assert find_damage(tmp_path / "good.parquet") is None


def test_borders_survive_json(prepared: Prepared) -> None:
    """Without it the ranges would come back as lists, and a range of another type has another digest."""
    borders = prepared.split_borders
    assert SplitBorders.model_validate_json(borders.model_dump_json()) == borders


def test_a_panel_of_the_previous_version_is_read(prepared: Prepared, tmp_path: Path) -> None:
    """Results of older runs: `--from-nodes` and `--only-missing-outputs` load them."""
    write_panel(prepared.series, tmp_path / "new.parquet")
    table = pq.read_table(tmp_path / "new.parquet")
    facts = json.loads(table.schema.metadata[KEY])
    for name in ("arrays", "facts"):
        del facts[name]
    del facts["source"]["static_columns"]
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(facts)}), tmp_path / "old.parquet")
    assert find_damage(tmp_path / "old.parquet") is None
    assert_equal(read_panel(tmp_path / "old.parquet"), prepared.series)
