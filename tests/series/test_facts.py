"""Static columns become one text per series."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_long_table import sales

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series import long_parquet
from timellm_pipeline.series.facts import as_text
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import validate
from timellm_pipeline.series.reading import RawFile

LONG = {"id_columns": ["store"], "value_column": "sales", "static_columns": ["kind", "area", "store"]}
EXPECTED = ("kind: large, area: 120, store: S0", "area: 80.5, store: S1", "kind: small, area: 300, store: S2")


def described() -> pd.DataFrame:
    """Three stores with a kind, which is missing for one, and an area."""
    table = sales()
    kinds = {"S0": "large", "S1": None, "S2": "small"}
    areas = {"S0": 120.0, "S1": 80.5, "S2": 300.0}
    return table.assign(kind=table["store"].map(kinds), area=table["store"].map(areas))


def read(table: pd.DataFrame, parquet: bool) -> Panel:
    buffer = io.BytesIO()
    if parquet:
        table.assign(date=pd.to_datetime(table["date"])).to_parquet(buffer, index=False)
    else:
        buffer.write(table.to_csv(index=False).encode())
    window = WindowParams(seq_len=48, pred_len=12)
    return validate(RawFile("sales", buffer.getvalue()), DataParams.model_validate(LONG), window)


@pytest.mark.parametrize("parquet", [False, True], ids=["CSV", "Parquet"])
@pytest.mark.parametrize("part", [100, 1 << 22])
def test_static_columns_describe_their_series(monkeypatch: pytest.MonkeyPatch, parquet: bool, part: int) -> None:
    """Whole numbers without a decimal point; a missing value is left out."""
    monkeypatch.setattr(long_parquet, "BATCH", 64)
    monkeypatch.setattr(long_parquet, "PART", part)
    panel = read(described(), parquet)
    assert panel.facts == EXPECTED
    assert panel.select(["S2", "S0"]).facts == (EXPECTED[2], EXPECTED[0])


@pytest.mark.parametrize("parquet", [False, True], ids=["CSV", "Parquet"])
@pytest.mark.parametrize("value", ["small", None])
def test_a_column_that_changes_within_a_series_is_refused(parquet: bool, value: Any) -> None:
    """It is no fact of the series; it may be a known column."""
    table = described()
    table.loc[150, "kind"] = value
    with pytest.raises(SeriesError, match="the static column `kind` has several values for the series `S0`"):
        read(table, parquet)


def test_facts_are_part_of_the_digest() -> None:
    """They change the prompt, so they must change the training id."""
    assert read(described(), False).digest() != read(described().assign(area=1), False).digest()


def test_values_as_text() -> None:
    """As a person writes them."""
    values = [3, 3.0, 0.25, 1234567.0, True, np.float32(2), " north ", None, np.nan, pd.NaT]
    assert [as_text(value) for value in values] == ["3", "3", "0.25", "1234567", "True", "2", "north", "", "", ""]
