"""Time stamps are read as they were meant, or refused, or reported."""

import logging

import pandas as pd
import pytest

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series.clock import age_of, future_by
from timellm_pipeline.series.dates import parse_dates
from timellm_pipeline.series.validation import validate_series


def parse(values: object, **csv: object) -> pd.Series:
    return parse_dates(pd.Series(values, name="date"), DataParams(csv=csv), "file.csv")[0]


@pytest.mark.parametrize(
    "values",
    [["00:00", "00:05"], ["2020-01-01", "7:30 pm"], ["1:02:03.5"], ["7 pm"], ["T12:30"], ["12:30Z"], ["12h30"]],
)
def test_a_time_without_a_day_is_refused(values: list[str]) -> None:
    """pandas takes it for a time of today: the same file gives other results tomorrow."""
    with pytest.raises(SeriesError, match="has a time but no day"):
        parse(values)


@pytest.mark.parametrize(
    ("values", "meaning"),
    [
        ([2016, 2017], "years"),
        ([43831.0, 43832.5], "Excel's serial days"),
        ([20160701, 20160702], "YYYYMMDD: write 2016-07-01"),
        ([2016070100, 2016070101], "YYYYMMDDHH: write 2016-07-01"),
        ([1467331200, 1467334800], "epoch seconds"),
        ([1467331200000], "epoch milliseconds"),
        ([3], ""),
        ([float("nan"), 43831.0], "Excel's serial days"),
        ([float("inf")], ""),
        (pd.Series([1467331200000000000] * 2, dtype=object), "epoch nanoseconds"),
    ],
)
def test_numbers_are_refused_with_what_they_look_like(values: list[float], meaning: str) -> None:
    """`np.int64(20160701)` is no value of the file."""
    with pytest.raises(SeriesError) as caught:
        parse(values)
    assert "np." not in caught.value.what and meaning in caught.value.do


def test_day_first_is_honoured_and_its_absence_reported(caplog: pytest.LogCaptureFixture) -> None:
    """05/03/2020 was silently the third of May, whatever data.csv said."""
    texts = ["05/03/2020", "06/03/2020"]
    assert parse(texts, dayfirst=True).iloc[0] == pd.Timestamp("2020-03-05") and not caplog.text
    assert parse(texts, date_format="%d/%m/%Y").iloc[0] == pd.Timestamp("2020-03-05") and not caplog.text
    assert parse(texts).iloc[0] == pd.Timestamp("2020-05-03")
    assert "05/03/2020 is read as 2020-05-03, month first" in caplog.text and "dayfirst: true" in caplog.text


def test_day_first_leaves_dates_that_begin_with_the_year(caplog: pytest.LogCaptureFixture) -> None:
    """pandas reads 2020-03-05 as the third of May under dayfirst."""
    assert parse(["2020-03-05", "2020-03-06"], dayfirst=True).iloc[0] == pd.Timestamp("2020-03-05")


@pytest.mark.parametrize("texts", [["Jan-20", "Feb-20"], ["5 Jan 12:00"], ["05/03"]])
def test_a_date_without_a_year_is_refused(texts: list[str]) -> None:
    """pandas puts it into the year 1."""
    with pytest.raises(SeriesError, match="has no year"):
        parse(texts)
    assert parse(["Jan-20"], date_format="%b-%y").iloc[0] == pd.Timestamp("2020-01-01")


def test_a_column_without_any_time_stamp_is_refused() -> None:
    """It ended in an overflow of the message itself."""
    with pytest.raises(SeriesError, match="no time stamp at all"):
        parse([float("nan")] * 3)


def test_a_first_field_above_twelve_hints_at_day_first() -> None:
    """The first thirteenth of a month is where month first fails."""
    with pytest.raises(SeriesError, match="'13/03/2020' is not a time stamp") as caught:
        parse(["12/03/2020", "13/03/2020"])
    assert "dayfirst: true" in caught.value.do


@pytest.mark.parametrize("texts", [["2020-03-05", "2020-03-06"], ["12/31/2020", "01/01/2021"], ["01/01/2020"]])
def test_dates_with_one_reading_are_not_reported(texts: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A warning that always comes is read by nobody."""
    parse(texts)
    assert not caplog.text


def series(dates: pd.DatetimeIndex | list[str]) -> pd.DataFrame:
    return validate_series(pd.DataFrame({"date": dates, "OT": range(len(dates))}), DataParams(), WindowParams())


def test_the_hour_that_a_clock_change_repeats_is_not_to_be_deleted() -> None:
    """`remove the duplicate rows` was advice to lose an hour of data."""
    local = pd.date_range("2020-10-24", periods=60, freq="h", tz="Europe/Berlin").tz_localize(None).astype(str)
    with pytest.raises(SeriesError, match="is repeated") as caught:
        series(list(local))
    assert "clock change" in caught.value.do and "delete no rows" in caught.value.do
    plain = [*pd.date_range("2020-01-01", periods=60, freq="h").astype(str), "2020-01-01 03:00:00"]
    plain += ["2020-01-02 03:00:00"]
    with pytest.raises(SeriesError, match="is repeated") as caught:
        series(plain)
    assert caught.value.do == "remove the duplicate rows"


def test_a_row_that_was_written_twice_is_not_a_clock_change() -> None:
    """It has the same values, and time does not continue after a stretch of 20 hours."""
    stamps = [str(stamp) for stamp in pd.date_range("2020-01-01", periods=60, freq="h")]
    for first, last in ((30, 31), (30, 50)):
        rows = [*range(last), *range(first, 60)]
        frame = pd.DataFrame({"date": [stamps[row] for row in rows], "OT": rows})
        with pytest.raises(SeriesError, match="is repeated") as caught:
            validate_series(frame, DataParams(), WindowParams())
        assert caught.value.do == "remove the duplicate rows"


def test_the_age_of_the_newest_row_is_counted_in_utc_where_the_file_has_offsets() -> None:
    """On a machine at UTC+8 fresh data with Z was refused, at UTC-8 stale data passed."""
    now = pd.Timestamp("2020-01-03 12:00", tz="Asia/Shanghai")
    stamps = pd.date_range("2020-01-01", periods=49, freq="h").astype(str)
    in_utc = series([f"{stamp}Z" for stamp in stamps])
    assert in_utc.attrs["utc"] is True and age_of(in_utc, now) == pd.Timedelta(hours=4)
    assert series(list(stamps)).attrs["utc"] is False


def test_rows_in_the_future_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """A newest row in 2031 passed the age gate with -1499 days."""
    caplog.set_level(logging.WARNING)
    ahead = series([f"{stamp}Z" for stamp in pd.date_range("2131-01-01", periods=9, freq="h").astype(str)])
    assert future_by(ahead) > pd.Timedelta(days=365) and "in the future" in caplog.text
    local = series(list(pd.date_range("2020-01-01", periods=9, freq="h").astype(str)))
    assert future_by(local, pd.Timestamp("2020-01-01 00:00")) is None, "another time zone may be ahead"
    assert future_by(local, pd.Timestamp("2019-12-01")) is not None
