"""Panels that do not fit into memory have the values, digests and windows of panels that do."""

import io
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_known import LONG, promoted

from timellm_pipeline.datasets import raw_series as raw_series_module
from timellm_pipeline.datasets.raw_series import RawSeriesDataset
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import parse_parameters
from timellm_pipeline.series import long_parquet, mapped
from timellm_pipeline.series.mapped import release
from timellm_pipeline.series.panel_file import find_damage, read_panel, write_panel
from timellm_pipeline.series.prepare import Prepared, prepare
from timellm_pipeline.series.reading import RawFile

PARAMETERS = {"window": {"seq_len": 48, "pred_len": 12, "patch_len": 8, "stride": 4}, "data": LONG}


def parquet() -> bytes:
    table, buffer = promoted(), io.BytesIO()
    table.assign(date=pd.to_datetime(table["date"])).to_parquet(buffer, index=False)
    return buffer.getvalue()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is large: parts of a few rows, mapped arrays, files that are not kept in memory."""
    monkeypatch.setattr(long_parquet, "BATCH", 64)
    monkeypatch.setattr(long_parquet, "PART", 100)
    monkeypatch.setattr(mapped, "LARGE", 0)
    monkeypatch.setattr(raw_series_module, "LARGE", 0)


@pytest.fixture
def expected() -> Prepared:
    """The same file in memory."""
    return prepare(RawFile("sales.parquet", parquet()), parse_parameters(PARAMETERS))


@pytest.fixture
def large(expected: Prepared, small: None, tmp_path: Path) -> Prepared:
    path = tmp_path / "sales.parquet"
    path.write_bytes(parquet())
    raw = RawSeriesDataset(filepath=str(path), folder=str(tmp_path / "mapped")).load()
    assert raw.content == b"" and raw.stat is not None
    return prepare(raw, parse_parameters(PARAMETERS))


def test_a_mapped_panel_gives_the_same_training(large: Prepared, expected: Prepared, tmp_path: Path) -> None:
    """Same digests of values and windows, so the same training id."""
    assert isinstance(large.series.values, np.memmap) and isinstance(large.training.scaled.values, np.memmap)
    assert large.series.digest() == expected.series.digest()
    assert large.training.scaled.digest() == expected.training.scaled.digest()
    which = np.arange(50)
    for found, other in zip(*(made.training.windows("train").gather(which) for made in (large, expected))):
        np.testing.assert_array_equal(found, other)
    assert not list((tmp_path / "mapped").iterdir()), "temporary files have no name that could be left behind"


def test_a_mapped_panel_is_read_back_as_it_was(large: Prepared, tmp_path: Path) -> None:
    """Arrays in files beside the Parquet file; a damaged one is detected."""
    path = tmp_path / "series.parquet"
    write_panel(large.training.scaled, path)
    again = read_panel(path)
    assert isinstance(again.values, np.memmap) and again.folder == tmp_path.parent
    assert again.digest() == large.training.scaled.digest() and find_damage(path) is None
    assert pd.read_parquet(path)["rows"].tolist() == large.series.lengths.tolist()
    (tmp_path / "series.values.npy").write_bytes(b"")
    assert "incomplete array of values" in str(find_damage(path))


def test_a_mapped_panel_is_pickled_by_its_path(large: Prepared, tmp_path: Path) -> None:
    """Each process that prepares batches would receive a copy of all values."""
    path = tmp_path / "series.parquet"
    write_panel(large.training.scaled, path)
    panel = read_panel(path)
    content = pickle.dumps(panel)
    again = pickle.loads(content)
    assert isinstance(again.values, np.memmap) and again.digest() == panel.digest()
    assert again.known is not None and isinstance(again.known.values, np.memmap)
    assert b"series.values.npy" in content and panel.values[:9].tobytes() not in content


def test_known_columns_of_a_small_panel_are_read_back(expected: Prepared, tmp_path: Path) -> None:
    """They have more rows than the series."""
    write_panel(expected.series, tmp_path / "series.parquet")
    again = read_panel(tmp_path / "series.parquet")
    assert again.known is not None and again.digest() == expected.series.digest()


def test_a_file_that_changes_while_it_is_read_is_refused(small: None, tmp_path: Path) -> None:
    """Its digest would belong to other values."""
    path = tmp_path / "sales.parquet"
    path.write_bytes(parquet())
    raw = RawSeriesDataset(filepath=str(path)).load()
    path.write_bytes(parquet() + b" ")
    with pytest.raises(SeriesError, match="the file changed while it was read"):
        prepare(raw, parse_parameters(PARAMETERS))


def test_a_part_of_the_series_stays_mapped(large: Prepared, expected: Prepared, tmp_path: Path) -> None:
    """A store that has ended must not bring all values into memory."""
    ids = ["S2", "S0"]
    some = large.series.select(ids)
    assert isinstance(some.values, np.memmap) and some.digest() == expected.series.select(ids).digest()
    assert some.known is not None
    release(some.known.values)  # a view of a mapped array
    release(np.zeros(3))


def test_one_series_that_is_too_long_is_refused(small: None, tmp_path: Path) -> None:
    """A part is at least one series."""
    path = tmp_path / "sales.parquet"
    table = promoted(1)
    table.assign(date=pd.to_datetime(table["date"])).to_parquet(path, index=False)
    raw = RawSeriesDataset(filepath=str(path)).load()
    groups = {**PARAMETERS, "data": {**LONG, "max_gigabytes": 1e-6}}
    with pytest.raises(SeriesError, match="of memory .one series has as many."):
        prepare(raw, parse_parameters(groups))


def test_rows_in_several_places_need_memory(small: None, tmp_path: Path) -> None:
    """Sorting a table that does not fit into memory is left to the user, with a message."""
    path = tmp_path / "sales.parquet"
    table = promoted()
    table.assign(date=pd.to_datetime(table["date"])).sort_values("date").to_parquet(path, index=False)
    raw = RawSeriesDataset(filepath=str(path)).load()
    assert len(prepare(raw, parse_parameters(PARAMETERS)).series.values) == 750
    groups = {**PARAMETERS, "data": {**LONG, "max_gigabytes": 1e-6}}
    with pytest.raises(SeriesError, match="of memory .the table is not sorted by series.") as caught:
        prepare(raw, parse_parameters(groups))
    assert caught.value.do.startswith("sort the table by series and time")
