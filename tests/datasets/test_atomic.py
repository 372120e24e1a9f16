"""Results are complete or absent, and old ones are deleted."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DatasetError, Version

from conftest import make_panel
from timellm_pipeline.datasets import (
    AtomicCSVDataset,
    AtomicJSONDataset,
    AtomicParquetDataset,
    AtomicPlotDataset,
    PanelDataset,
    RecordDataset,
)
from timellm_pipeline.errors import ParameterError, find_user_error
from timellm_pipeline.series.scaling import Scaler


def dataset(kind: type, path: Path, save: str | None = None, load: str | None = None, **options: Any) -> Any:
    return kind(filepath=path.as_posix(), version=Version(load, save), **options)


def day(number: int) -> str:
    """A version of that day."""
    return f"2026-01-0{number}T00.00.00.000Z"


def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["x", "y"])})


SCALER = Scaler(data_id="d", channels=["größe"], mean=[0.1], std=[2.0], rows=(0, 9))


class ScalerDataset(RecordDataset):
    """A record of one type."""

    def __init__(self, **options: Any) -> None:
        super().__init__(model="timellm_pipeline.series.scaling.Scaler", **options)


CASES = {
    "record": (ScalerDataset, "scaler.json", SCALER),
    "panel": (PanelDataset, "panel.parquet", make_panel({"A": np.arange(9.0)}, zone="+02:00")),
    "json": (AtomicJSONDataset, "facts.json", {"größe": 1, "列": [1, 2]}),
    "parquet": (AtomicParquetDataset, "table.parquet", frame()),
    "plot": (AtomicPlotDataset, "plot.json", go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_saved_is_loaded_and_previewed(tmp_path: Path, case: str) -> None:
    """A lost category or character would change the result."""
    kind, name, data = CASES[case]
    dataset(kind, tmp_path / name, "2026-01-01T00.00.00.000Z").save(data)
    found = dataset(kind, tmp_path / name)
    loaded = found.load()
    if case == "parquet":
        pd.testing.assert_frame_equal(loaded, data)
    elif case == "panel":
        assert loaded.digest() == data.digest() and loaded.zone == data.zone
    else:
        assert type(loaded) is type(data) and loaded == data
    assert found.preview()


@pytest.mark.parametrize("case", CASES)
def test_a_corrupt_newest_version_is_named_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """Kedro takes whatever is newest; half a file would break every later run."""
    kind, name, data = CASES[case]
    for version in (day(1), day(2)):
        dataset(kind, tmp_path / name, version).save(data)
    newest = tmp_path / name / day(2) / name
    newest.write_bytes(newest.read_bytes()[:20])
    found = dataset(kind, tmp_path / name)
    assert found.resolve_load_version() == day(1)
    assert day(2) in caplog.text and "skipped" in caplog.text
    with pytest.raises(DatasetError, match="cannot be used"):
        dataset(kind, tmp_path / name, load=day(2)).load()


@pytest.mark.parametrize("case", CASES)
def test_a_failed_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """A half-written version would be the newest."""
    kind, name, data = CASES[case]
    dataset(kind, tmp_path / name, day(1)).save(data)
    broken = dataset(kind, tmp_path / name, day(2))

    def fail(data: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(broken, "write", fail)
    with pytest.raises(DatasetError, match="No space left"):
        broken.save(data)
    assert [path.name for path in (tmp_path / name).iterdir() if path.name != ".in-use"] == [day(1)]


def test_only_the_newest_versions_stay(tmp_path: Path) -> None:
    """Scheduled runs fill a disk in a month."""
    path = tmp_path / "[odd] folder 数据" / "facts.json"
    for number in range(1, 7):
        one = dataset(AtomicJSONDataset, path, day(number), keep_versions=3)
        one.save({"day": number})
        one.release()  # as Kedro does when no node needs it any more
    found = dataset(AtomicJSONDataset, path)
    assert found.list_versions(full_path=False) == [day(6), day(5), day(4)]
    assert found.load() == {"day": 6}


def test_a_copy_is_stored_with_the_data_set_of_the_same_version(tmp_path: Path) -> None:
    """Somebody who is handed a model folder must find out what it is."""
    dataset(AtomicJSONDataset, tmp_path / "model", day(1)).save({"weights": 1})
    beside = {"path": (tmp_path / "model").as_posix()}
    dataset(ScalerDataset, tmp_path / "manifest.json", day(1), beside=beside).save(SCALER)
    assert (tmp_path / "model" / day(1) / "manifest.json").is_file()
    assert dataset(AtomicJSONDataset, tmp_path / "model").load() == {"weights": 1}


def test_a_run_continues_with_its_own_version_and_not_with_a_newer_one_of_another_run(tmp_path: Path) -> None:
    """A long run beside a short one would evaluate the other's model and put its own name under the figures."""
    mine = dataset(AtomicJSONDataset, tmp_path / "facts.json", day(1))
    dataset(AtomicJSONDataset, tmp_path / "facts.json", day(2)).save({"who": "other"})
    mine.save({"who": "mine"})
    assert mine.load() == {"who": "mine"}
    assert dataset(AtomicJSONDataset, tmp_path / "facts.json").load() == {"who": "other"}


@pytest.mark.parametrize("keep", [0, -1, "5", 2.5, True])
def test_fewer_than_one_kept_version_is_an_error(tmp_path: Path, keep: object) -> None:
    """Each save deleted its own result, with status 0."""
    with pytest.raises(ParameterError, match="keep_versions is"):
        dataset(AtomicJSONDataset, tmp_path / "facts.json", keep_versions=keep)


def test_what_a_run_has_loaded_or_saved_stays_until_it_is_released(tmp_path: Path) -> None:
    """A long training lost its inputs to five short runs beside it."""
    mine = dataset(AtomicJSONDataset, tmp_path / "facts.json", day(1), keep_versions=1)
    mine.save({"who": "mine"})
    other = dataset(AtomicJSONDataset, tmp_path / "facts.json", day(2), keep_versions=1)
    other.save({"who": "other"})
    assert mine.load() == {"who": "mine"}
    mine.release()
    other.release()
    dataset(AtomicJSONDataset, tmp_path / "facts.json", day(3), keep_versions=1).save({"who": "third"})
    assert dataset(AtomicJSONDataset, tmp_path / "facts.json").list_versions(full_path=False) == [day(3)]


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "-x", "@SUM(A1)", "\t=1", "＝1"])
def test_a_name_is_no_formula_in_a_spreadsheet(tmp_path: Path, name: str) -> None:
    """A channel of that name was live in forecast.csv."""
    table = pd.DataFrame({"channel": pd.Series([name, "OT"]), "forecast": [-1.5, 2.0], name: ["=x", "y"]})
    dataset(AtomicCSVDataset, tmp_path / "forecast.csv", day(1)).save(table)
    with (tmp_path / "forecast.csv" / day(1) / "forecast.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["channel", "forecast", f"'{name}"], [f"'{name}", "-1.5", "'=x"], ["OT", "2.0", "y"]]
    assert table["channel"].iloc[0] == name, "the table itself is unchanged"


def test_a_missing_version_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    """`--load-versions` with a typing error was a traceback."""
    dataset(AtomicJSONDataset, tmp_path / "facts.json", day(1)).save({"a": 1})
    with pytest.raises(DatasetError) as caught:
        dataset(AtomicJSONDataset, tmp_path / "facts.json", load="2026-01-09").load()
    known = find_user_error(caught.value)
    assert known is not None and "version 2026-01-09 of facts.json" in known.what and day(1) in known.do
