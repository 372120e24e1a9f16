"""Long Parquet files are read in batches, and give the panel of the same table as CSV."""

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_long_table import read, sales

from timellm_pipeline.datasets import RawSeriesDataset
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series import long_parquet
from timellm_pipeline.series.long_parquet import open_long_parquet
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import validate
from timellm_pipeline.series.reading import RawFile

COLUMNS = {"id_columns": ["store"], "value_column": "sales"}


def as_file(table: pd.DataFrame) -> RawFile:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return RawFile("sales.parquet", buffer.getvalue())


def stamped(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(date=pd.to_datetime(table["date"]))


def panel_of(file: RawFile, **data: Any) -> Panel:
    window = WindowParams(seq_len=48, pred_len=12)
    return validate(file, DataParams.model_validate({**COLUMNS, **data}), window)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table,
        lambda table: table.assign(store=table["store"].astype("category")),
        lambda table: table.assign(date=table["date"].dt.date),
        lambda table: table.sample(frac=1, random_state=1),
        lambda table: table.assign(other="x"),
    ],
    ids=["text ids", "categories", "dates", "unsorted", "another column"],
)
@pytest.mark.parametrize(("batch", "part"), [(7, 100), (7, 1 << 22), (1 << 18, 1 << 22)])
def test_batches_and_parts_give_the_panel_of_the_table(
    monkeypatch: pytest.MonkeyPatch, change: Any, batch: int, part: int
) -> None:
    """An id that begins in one batch and ends in the next is one series. An unsorted table is read in one part."""
    monkeypatch.setattr(long_parquet, "BATCH", batch)
    monkeypatch.setattr(long_parquet, "PART", part)
    table = change(stamped(sales()))
    file = as_file(table)
    long = open_long_parquet(file, DataParams.model_validate(COLUMNS))
    assert long is not None and long.total == len(table), "it is read in batches"
    found, expected = panel_of(file), read(table, **COLUMNS)
    assert found.ids == expected.ids and found.digest() == expected.digest()
    assert found.source.id_columns == ("store",) and found.source.num_rows == len(table)


@pytest.mark.parametrize(
    ("table", "data"),
    [
        (sales(), COLUMNS),
        (stamped(sales()).assign(date=lambda table: table["date"].dt.tz_localize("UTC")), COLUMNS),
        (stamped(sales()), {}),
        (stamped(sales()), {**COLUMNS, "layout": "wide", "id_columns": [], "value_column": None}),
    ],
    ids=["dates as text", "with a zone", "columns to be recognised", "wide"],
)
def test_other_files_are_read_as_tables(table: pd.DataFrame, data: dict[str, Any]) -> None:
    """Batches read what needs no guess; everything else has one way, with its messages."""
    assert open_long_parquet(as_file(table), DataParams.model_validate(data)) is None


def test_the_standard_names_need_no_parameter() -> None:
    """`unique_id, ds, y` is what other forecasting libraries write."""
    table = stamped(sales()).rename(columns={"store": "unique_id", "date": "ds", "sales": "y"})
    found = validate(as_file(table), DataParams(), WindowParams(seq_len=48, pred_len=12))
    assert found.digest() == read(sales()).digest() and found.source.date_column == "ds"


@pytest.mark.parametrize(("column", "row"), [("store", 3), ("date", 300)])
def test_a_missing_id_or_time_stamp_is_named_with_its_row(
    monkeypatch: pytest.MonkeyPatch, column: str, row: int
) -> None:
    """Rows are counted over all batches."""
    monkeypatch.setattr(long_parquet, "BATCH", 64)
    table = stamped(sales())
    table.loc[row, column] = None
    with pytest.raises(SeriesError, match=f"row {row + 1} has no value in the column `{column}`"):
        panel_of(as_file(table))


def test_infinity_is_no_gap_and_a_wrong_year_no_grid() -> None:
    """It would have been filled in; and centuries of hours would not fit into memory."""
    table = stamped(sales())
    table.loc[100, "sales"] = np.inf
    with pytest.raises(SeriesError, match="the value of `S0` at 2020-04-10 00:00:00 is not a finite number"):
        panel_of(as_file(table), gaps="interpolate")
    seconds = stamped(sales()).assign(date=lambda table: table["date"].min() + pd.to_timedelta(table.index, unit="s"))
    seconds.loc[700, "date"] = pd.Timestamp("2200-01-01")
    with pytest.raises(SeriesError, match=r"to `S2` at 2200-01-01 00:00:00 there are 5,680,281,600 steps; at most"):
        panel_of(as_file(seconds), gaps="interpolate")


def test_a_missing_value_is_a_gap() -> None:
    """Null and NaN alike."""
    table = stamped(sales())
    table.loc[100, "sales"] = None
    with pytest.raises(SeriesError, match="the value of `S0` at 2020-04-10 00:00:00 is missing"):
        panel_of(as_file(table))
    filled = panel_of(as_file(table), gaps="interpolate")
    assert filled.filled.tolist() == [[0, 100, 100]] and np.isfinite(filled.values).all()


def write_parts(folder: Path, *tables: pd.DataFrame) -> Path:
    """A folder of Parquet files, with a file that the writing program left."""
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    for number, table in enumerate(tables):
        table.to_parquet(folder / f"part-{number}.parquet", index=False)
    return folder


def from_folder(path: Path, **data: Any) -> Panel:
    return panel_of(RawSeriesDataset(filepath=str(path)).load(), **data)


@pytest.mark.parametrize("pattern", ["", "*.parquet", "part-*"])
def test_the_files_of_a_folder_are_one_table(tmp_path: Path, pattern: str) -> None:
    """A series may begin in one file and end in the next."""
    table = stamped(sales())
    folder = write_parts(tmp_path / "sales", table.iloc[:100], table.iloc[100:400], table.iloc[400:])
    found = from_folder(folder / pattern if pattern else folder)
    assert found.digest() == panel_of(as_file(table)).digest() and found.source.num_rows == len(table)
    digest = RawSeriesDataset(filepath=str(folder)).load().sha256
    (folder / "part-3.parquet").write_bytes((folder / "part-0.parquet").read_bytes())
    assert RawSeriesDataset(filepath=str(folder)).load().sha256 != digest


def test_an_empty_part_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A day without sales writes a file without rows."""
    table = stamped(sales())
    folder = write_parts(tmp_path / "sales", table, table.head(0))
    assert from_folder(folder).digest() == panel_of(as_file(table)).digest()
    assert "part-1.parquet has no rows" in caplog.text


@pytest.mark.parametrize(
    ("second", "data", "what", "where"),
    [
        (lambda table: table.rename(columns={"sales": "sold"}), {}, "other columns than", "part-1.parquet"),
        (lambda table: table.assign(sales="many"), {}, "other columns than", "part-1.parquet"),
        (lambda table: table, {"value_column": None}, "cannot be read as one long table", "sales"),
        (lambda table: table, {}, "is repeated", "sales"),
    ],
    ids=["other columns", "other types", "unclear columns", "the same rows twice"],
)
def test_a_folder_that_is_not_one_table_is_refused(
    tmp_path: Path, second: Any, data: dict[str, Any], what: str, where: str
) -> None:
    """One message, with the file."""
    table = stamped(sales())
    folder = write_parts(tmp_path / "sales", table, second(table))
    with pytest.raises(SeriesError, match=what) as caught:
        from_folder(folder, **data)
    assert caught.value.where.endswith(where)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("cut", [slice(200, 400), slice(-200, -10)], ids=["values", "metadata"])
def test_a_damaged_part_is_named(tmp_path: Path, part: int, cut: slice) -> None:
    """One of a thousand files was cut off."""
    folder = write_parts(tmp_path / "sales", stamped(sales()), stamped(sales()))
    path = folder / f"part-{part}.parquet"
    content = bytearray(path.read_bytes())
    content[cut] = bytes(len(content[cut]))
    path.write_bytes(content)
    with pytest.raises(SeriesError, match="corrupt or cannot be read") as caught:
        from_folder(folder)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"date": np.array(["3000-01-01"] * 750, dtype="datetime64[us]")}, "out of bounds"),
        ({"region": [["a"]] * 750}, "region|dictionary"),
    ],
    ids=["the year 3000", "lists"],
)
def test_values_that_cannot_be_converted_are_one_message(columns: dict[str, Any], message: str) -> None:
    """They were a traceback."""
    table = stamped(sales()).assign(**columns)
    static = {"static_columns": ["region"]} if "region" in columns else {}
    with pytest.raises(SeriesError, match=message) as caught:
        panel_of(as_file(table), **static)
    assert caught.value.where.startswith("sales.parquet")


def test_decimals_and_large_whole_numbers_are_numbers() -> None:
    """As databases write them."""
    table = stamped(sales())
    expected = panel_of(as_file(table))
    decimals = pa.array([Decimal(str(value)) for value in table["sales"]], pa.decimal128(10, 3))
    made = pa.Table.from_pandas(table, preserve_index=False).set_column(2, "sales", decimals)
    buffer = io.BytesIO()
    pq.write_table(made, buffer)
    found = panel_of(RawFile("sales.parquet", buffer.getvalue()))
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)
    large = table.assign(sales=2**60 + np.arange(len(table)))
    assert panel_of(as_file(large)).values[0] == 2.0**60
