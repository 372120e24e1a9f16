"""Numbers are read as dates where the whole column is of one plausible kind, and refused elsewhere."""

import logging
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.dates import ParsedDates, parse_dates

DAYS = pd.date_range("2016-07-01", periods=40, freq="D")
HOURS = pd.date_range("2016-07-01", periods=40, freq="h")
SECONDS = HOURS.astype("datetime64[s]").astype("int64")


def parse(values: object, **csv: object) -> ParsedDates:
    return parse_dates(pd.Series(values, name="date"), DataParams(csv=csv), "file.csv")


def refusal(values: object) -> SeriesError:
    with pytest.raises(SeriesError) as caught:
        parse(values)
    return caught.value


@pytest.mark.parametrize("form", [int, float, str, object, "Int64", Decimal])
@pytest.mark.parametrize(
    ("numbers", "dates", "name", "zone"),
    [
        (DAYS.strftime("%Y%m%d"), DAYS, "YYYYMMDD", None),
        (HOURS.strftime("%Y%m%d%H"), HOURS, "YYYYMMDDHH", None),
        (HOURS.strftime("%Y%m%d%H%M"), HOURS, "YYYYMMDDHHMM", None),
        (HOURS.strftime("%Y%m%d%H%M%S"), HOURS, "YYYYMMDDHHMMSS", None),
        (SECONDS, HOURS, "epoch seconds", "UTC"),
        (SECONDS * 1000 + 250, HOURS + pd.Timedelta("250ms"), "epoch milliseconds", "UTC"),
    ],
    ids=["day", "hour", "minute", "second", "epoch s", "epoch ms"],
)
def test_a_column_of_one_kind_is_read_and_reported(
    numbers: pd.Index, dates: pd.DatetimeIndex, name: str, zone: str | None, form: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the file was read as text, integers, or floats because a cell is missing."""
    caplog.set_level(logging.INFO)
    values = pd.Series(numbers.astype("int64"))
    values = values.map(Decimal) if form is Decimal else values.astype(form)
    parsed = parse(values)
    assert parsed.stamps.tolist() == dates.tolist() and parsed.stamps.name == "date" and parsed.zone == zone
    assert f"{numbers[0]} are read as {name}: {dates[0]}" in caplog.text


def test_epoch_seconds_from_1970_on_are_read() -> None:
    """Old prices begin there; a counter ends early, and seconds among milliseconds leave a gap of decades."""
    days = pd.date_range("1970-01-01", "1980-01-01", freq="D")
    seconds = days.astype("datetime64[s]").astype("int64")
    assert parse(seconds).stamps.tolist() == days.tolist()
    assert "number" in refusal(seconds[:1000]).what
    assert "number" in refusal([1467331200, 1467334800000]).what


def test_numbers_that_are_dates_and_epoch_seconds_are_read_as_dates() -> None:
    """2030010100 seconds would be a time in 2034."""
    assert parse([2030010100, 2030010101]).stamps.iloc[1] == pd.Timestamp("2030-01-01 01:00")


@pytest.mark.parametrize("form", [int, str])
@pytest.mark.parametrize(
    ("values", "meaning"),
    [
        ([2016, 2017], "years"),
        ([43831, 43832], "Excel's serial days"),
        ([1467331200000000, 1467334800000000], "epoch microseconds"),
        ([1467331200000000000] * 2, "epoch nanoseconds"),
        ([3, 4], ""),
        ([-5, 20160701], ""),
        ([4200000000, 4200003600], "epoch seconds"),
        ([20161301, 20161302], ""),
        ([18000101, 18000102], ""),
    ],
)
def test_numbers_of_no_kind_are_refused_with_what_they_look_like(values: list[int], meaning: str, form: type) -> None:
    """pandas would count nanoseconds since 1970 from them."""
    error = refusal(pd.Series(values).astype(form))
    assert error.what == f"{values[0]} is a number, not a time stamp"
    assert error.where == "file.csv, line 2, column `date`"
    assert error.do.startswith("write dates as") and meaning in error.do
    assert ("look like" in error.do) == bool(meaning)


@pytest.mark.parametrize(
    "values", [[43831.5, 43832.5], [float("nan"), 43831.0], [float("inf")], [True], [1j], [10**400]]
)
def test_numbers_that_are_not_integers_are_refused(values: list[float]) -> None:
    """`np.float64(43831.5)` is no value of the file."""
    error = refusal(values)
    assert "is a number, not a time stamp" in error.what and "np." not in error.what


@pytest.mark.parametrize(
    ("values", "row", "kind"),
    [
        ([20160701, 20160702, 20161301], 2, "YYYYMMDD"),
        ([20160701, 2016070200], 1, "YYYYMMDD"),
        ([1467331200, 1467334800000], 1, "epoch seconds"),
        ([1467331200000, 1467334800], 1, "epoch milliseconds"),
    ],
)
def test_the_first_number_of_another_kind_is_named(values: list[int], row: int, kind: str) -> None:
    """Without it a mistyped day among a thousand has to be searched for."""
    error = refusal(values)
    assert error.what == f"{values[row]} is a number, not a time stamp like those before it, which are {kind}"
    assert error.where == f"file.csv, line {row + 2}, column `date`"


@pytest.mark.parametrize("cell", ["x", None, "2016-07-03", "20160703.5"])
def test_a_cell_that_is_no_integer_among_dates_is_named(cell: str | None) -> None:
    """It would be the first number that is named, which is right."""
    error = refusal(pd.Series([20160701, 20160702, cell], dtype=object))
    assert "is not a time stamp" in error.what and error.where == "file.csv, line 4, column `date`"


def test_a_missing_cell_among_integers_is_named() -> None:
    """pandas turns the column into floats, or into nullable integers."""
    for values in ([20160701, np.nan], pd.array([20160701, None], dtype="Int64")):
        assert "line 3" in refusal(values).where
