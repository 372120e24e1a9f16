"""Time stamps are read as they were meant, or refused, or reported."""

import logging

import pandas as pd
import pytest

from conftest import check
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.clock import age_of, future_by
from timellm_pipeline.series.dates import parse_dates
from timellm_pipeline.series.panel import Panel


def parse(values: object, **csv: object) -> pd.Series:
    return parse_dates(pd.Series(values, name="date"), DataParams(csv=csv), "file.csv").stamps


@pytest.mark.parametrize(
    "values",
    [["00:00", "00:05"], ["2020-01-01", "7:30 pm"], ["1:02:03.5"], ["7 pm"], ["T12:30"], ["12:30Z"], ["12h30"]],
)
def test_a_time_without_a_day_is_refused(values: list[str]) -> None:
    """pandas takes it for a time of today: the same file gives other results tomorrow."""
    with pytest.raises(SeriesError, match="has a time but no day"):
        parse(values)


def test_day_first_is_honoured_and_its_absence_reported(caplog: pytest.LogCaptureFixture) -> None:
    """05/03/2020 was silently the third of May, whatever data.csv contained."""
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
    with pytest.raises(SeriesError, match="no time stamps"):
        parse([float("nan")] * 3)


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["05.01.2026", "13.01.2026"], "2026-01-05"),
        (["13/02/2020 10:00", "05/03/2020 10:00"], "2020-02-13 10:00"),
        (["5-1-2026 1:00", "13-1-2026 13:00"], "2026-01-05 01:00"),
        (["05/01/26", "13/01/26"], "2026-01-05"),
    ],
)
def test_dates_that_only_the_day_first_can_read_are_read_so_and_reported(
    texts: list[str], first: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The thirteenth of a month stopped the run."""
    caplog.set_level(logging.INFO)
    dates = parse(texts)
    assert dates.iloc[0] == pd.Timestamp(first) and dates.notna().all()
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "are read with the day first" in caplog.text


def test_the_whole_column_decides_the_order_of_day_and_month() -> None:
    """pandas decides by the first row: it read the first of these with the month first, then stopped."""
    month_first = parse(["01/02/2020", "01/31/2020"])
    assert month_first.tolist() == [pd.Timestamp("2020-01-02"), pd.Timestamp("2020-01-31")]
    day_first = parse(["01/02/2020", "31/01/2020"])
    assert day_first.tolist() == [pd.Timestamp("2020-02-01"), pd.Timestamp("2020-01-31")]


def test_a_column_with_both_orders_of_day_and_month_is_refused_at_the_row_that_differs() -> None:
    """No reading is right for both."""
    with pytest.raises(SeriesError) as caught:
        parse(["01/02/2020", "31/12/2020", "12/31/2020"])
    assert caught.value.what == "'12/31/2020' has the month first, and '31/12/2020' in line 3 has the day first"
    assert caught.value.where == "file.csv, line 4, column `date`"


@pytest.mark.parametrize(("wanted", "text"), [(True, "12/31/2020"), (False, "31/12/2020")])
def test_an_order_that_dayfirst_contradicts_is_refused(wanted: bool, text: str) -> None:
    """pandas ignores dayfirst where the first row shows the other order."""
    with pytest.raises(SeriesError, match=f"'{text}' does not have the {'day' if wanted else 'month'} first") as caught:
        parse([text, "01/02/2021"], dayfirst=wanted)
    assert f"dayfirst: {str(not wanted).lower()}" in caught.value.do


def test_junk_among_day_first_dates_is_the_row_that_is_named() -> None:
    """The error named the first thirteenth of a month, which is right."""
    with pytest.raises(SeriesError, match="'junk' is not a time stamp") as caught:
        parse(["12/03/2020", "13/03/2020", "junk"])
    assert "line 4" in caught.value.where


def test_a_year_of_two_digits_that_may_come_first_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """20-03-05, 20-03-06 became 20 March 2005, 20 March 2006."""
    parse(["20-03-05", "20-03-06"])
    assert "{date_format: '%y-%m-%d'}" in caplog.text
    assert parse(["20-03-05"], date_format="%y-%m-%d").iloc[0] == pd.Timestamp("2020-03-05")


@pytest.mark.parametrize(
    ("texts", "form", "first", "zone"),
    [
        (["05/03/2020", "06/03/2020"], "%d/%m/%Y", "2020-03-05", None),
        (["5 March 2020 01:00", "6 March 2020 01:00"], "%d %B %Y %H:%M", "2020-03-05 01:00", None),
        (["05-Mar-20", "06-Mar-20"], "%d-%b-%y", "2020-03-05", None),
        (["05/03/2020 01:00 +0200", "05/03/2020 02:00 +0200"], "%d/%m/%Y %H:%M %z", "2020-03-05 01:00", "+02:00"),
        (["05/03/2020 01:00 +0200", "05/03/2020 01:00 +0100"], "%d/%m/%Y %H:%M %z", "2020-03-04 23:00", "UTC"),
        (["05 Mar 2020 +0200", "06 Mar 2020 +0100"], "%d %b %Y %z", "2020-03-04 22:00", "UTC"),
        ([20200305, 20200306], "%Y%m%d", "2020-03-05", None),
        ([5032020, 6032020], "%d%m%Y", "2020-03-05", None),
        ([1112020, 2112020], "%d%m%Y", "2020-11-01", None),
        ([2020, 2021], "%Y", "2020-01-01", None),
        ([202003.0, 202004.0], "%Y%m", "2020-03-01", None),
    ],
)
def test_date_format_reads_text_and_numbers(texts: list[object], form: str, first: str, zone: str | None) -> None:
    """Numbers, and days with two offsets but no time, were refused."""
    parsed = parse_dates(pd.Series(texts, name="date"), DataParams(csv={"date_format": form}), "file.csv")
    assert (parsed.stamps.iloc[0], parsed.zone) == (pd.Timestamp(first), zone)
    with pytest.raises(SeriesError, match=f"'x' is not a time stamp of the format {form}"):
        parse([*texts, "x"], date_format=form)


@pytest.mark.parametrize(
    ("texts", "dates"),
    [
        (["2020-W05", "2020-W06"], ["2020-01-27", "2020-02-03"]),
        (["2020-W05-3", "2020-W05-4"], ["2020-01-29", "2020-01-30"]),
        (["2020W053", "2020W054"], ["2020-01-29", "2020-01-30"]),
        (["2020W53", "2021W01"], ["2020-12-28", "2021-01-04"]),
    ],
)
def test_iso_weeks_are_read_and_reported(texts: list[str], dates: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Weekly statistics are published with them; a week without a day begins on Monday."""
    caplog.set_level(logging.INFO)
    assert parse(texts).tolist() == [pd.Timestamp(date) for date in dates]
    assert f"{texts[0]} are read as ISO weeks" in caplog.text


@pytest.mark.parametrize("text", ["2021-W53", "2020-W00", "2020-W05-3", "2020-02-03", "2020-W06-8"])
def test_a_row_that_is_no_iso_week_of_the_same_kind_is_named(text: str) -> None:
    """2021 has 52 weeks."""
    with pytest.raises(SeriesError, match=f"'{text}' is not a time stamp") as caught:
        parse(["2020-W05", text])
    assert "line 3" in caught.value.where


def test_the_start_of_a_period_is_its_time_stamp() -> None:
    """A Parquet file keeps the periods of pandas."""
    assert parse(pd.period_range("2020-01", periods=2, freq="M")).tolist()[1] == pd.Timestamp("2020-02-01")
    assert parse(pd.Categorical(["2020-01-01", "2020-01-02"])).iloc[1] == pd.Timestamp("2020-01-02")


def test_lines_are_counted_behind_skipped_rows_and_the_header() -> None:
    """The line in the message was one that holds another row."""
    for csv, line in (({"skiprows": 3}, 6), ({"header": 2}, 5), ({"skiprows": [1]}, 4), ({"header": None}, 2)):
        with pytest.raises(SeriesError) as caught:
            parse(["2020-01-01", "x"], **csv)
        assert caught.value.where == f"file.csv, line {line}, column `date`"


@pytest.mark.parametrize("texts", [["2020-03-05", "2020-03-06"], ["12/31/2020", "01/01/2021"], ["01/01/2020"]])
def test_dates_with_one_reading_are_not_reported(texts: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A warning that always comes is read by nobody."""
    parse(texts)
    assert not caplog.text


def series(dates: pd.DatetimeIndex | list[str]) -> Panel:
    return check(pd.DataFrame({"date": dates, "OT": range(len(dates))}))


def test_the_hour_that_a_clock_change_repeats_is_not_to_be_deleted() -> None:
    """`remove the duplicate rows` was advice to lose an hour of data."""
    local = pd.date_range("2020-10-24", periods=60, freq="h", tz="Europe/Berlin").tz_localize(None).astype(str)
    with pytest.raises(SeriesError, match="is repeated") as caught:
        series(list(local))
    assert "daylight saving time change" in caught.value.do and "do not delete rows" in caught.value.do
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
            check(frame)
        assert caught.value.do == "remove the duplicate rows"


def test_the_age_of_the_newest_row_is_counted_in_utc_where_the_file_has_offsets() -> None:
    """On a machine at UTC+8 fresh data with Z was refused, at UTC-8 stale data passed."""
    now = pd.Timestamp("2020-01-03 12:00", tz="Asia/Shanghai")
    stamps = pd.date_range("2020-01-01", periods=49, freq="h").astype(str)
    in_utc = series([f"{stamp}Z" for stamp in stamps])
    assert in_utc.zone == "UTC" and age_of(in_utc, now) == pd.Timedelta(hours=4)
    assert series(list(stamps)).zone is None


def test_rows_in_the_future_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """A newest row in 2031 passed the age gate with -1499 days."""
    caplog.set_level(logging.WARNING)
    ahead = series([f"{stamp}Z" for stamp in pd.date_range("2131-01-01", periods=9, freq="h").astype(str)])
    assert future_by(ahead) > pd.Timedelta(days=365) and "in the future" in caplog.text
    local = series(list(pd.date_range("2020-01-01", periods=9, freq="h").astype(str)))
    assert future_by(local, pd.Timestamp("2020-01-01 00:00")) is None, "another time zone may be ahead"
    assert future_by(local, pd.Timestamp("2019-12-01")) is not None
