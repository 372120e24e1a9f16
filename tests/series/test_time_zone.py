"""The offset of a file is known, and forecasts come back in it."""

import logging
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest
from dateutil import tz

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.dates import ParsedDates, parse_dates
from timellm_pipeline.series.time_zone import as_in_file, to_utc

WINTER = pd.date_range("2020-01-01", periods=4, freq="h")
CHANGE = pd.date_range("2020-10-24", periods=60, freq="h", tz="Europe/Berlin")
PLUS_TWO = timezone(timedelta(hours=2))


def parse(values: object) -> ParsedDates:
    return parse_dates(pd.Series(values, name="time"), DataParams(), "file.csv")


def texts(suffix: str) -> list[str]:
    return [f"{stamp}{suffix}" for stamp in WINTER]


@pytest.mark.parametrize(
    ("values", "zone", "first"),
    [
        (texts(""), None, "2020-01-01 00:00"),
        (texts("+02:00"), "+02:00", "2020-01-01 00:00"),
        (texts(" -0330"), "-03:30", "2020-01-01 00:00"),
        (texts("Z"), "UTC", "2020-01-01 00:00"),
        (texts("+00:00"), "UTC", "2020-01-01 00:00"),
        (texts(" UTC"), "UTC", "2020-01-01 00:00"),
        ([*texts("Z")[:2], *texts("+00:00")[2:]], "UTC", "2020-01-01 00:00"),
        ([*texts("+02:00")[:2], *texts("+01:00")[2:]], "UTC", "2019-12-31 22:00"),
        ([stamp.isoformat() for stamp in CHANGE], "UTC", "2020-10-23 22:00"),
        (WINTER, None, "2020-01-01 00:00"),
        (WINTER.tz_localize(PLUS_TWO), "+02:00", "2020-01-01 00:00"),
        (WINTER.tz_localize("UTC"), "UTC", "2020-01-01 00:00"),
        (WINTER.tz_localize("Europe/Berlin"), "+01:00", "2020-01-01 00:00"),
        (WINTER.tz_localize("Europe/London"), "UTC", "2020-01-01 00:00"),
        (CHANGE, "Europe/Berlin", "2020-10-23 22:00"),
        (CHANGE.tz_convert(tz.gettz("Europe/Berlin")), None, "2020-10-23 22:00"),
        ([datetime(2020, 1, 1, tzinfo=PLUS_TWO), datetime(2020, 1, 2, tzinfo=PLUS_TWO)], "+02:00", "2020-01-01"),
        ([stamp.to_pydatetime() for stamp in CHANGE], "Europe/Berlin", "2020-10-23 22:00"),
        (pd.date_range("1850-01-01", periods=3, tz="Europe/Berlin"), "Europe/Berlin", "1849-12-31 23:06:32"),
    ],
)
def test_stamps_are_wall_time_at_one_offset_and_utc_at_several(values: object, zone: str | None, first: str) -> None:
    """Days at +02:00 began at 22:00 UTC, and a forecast reported them."""
    parsed = parse(values)
    if isinstance(values, pd.DatetimeIndex) and "dateutil" in str(type(values.tz)):
        zone = parsed.zone
        assert zone is not None and (zone == "UTC" or "Berlin" in zone)
    assert (parsed.stamps.iloc[0], parsed.zone) == (pd.Timestamp(first), zone)
    assert parsed.stamps.name == "date" and parsed.stamps.dt.tz is None and len(parsed.stamps) == len(values)


@pytest.mark.parametrize(
    "values", [[stamp.isoformat() for stamp in CHANGE], CHANGE, [*texts("Z")[:2], *texts("+02:00")[2:]]]
)
def test_a_conversion_to_utc_is_reported(values: object, caplog: pytest.LogCaptureFixture) -> None:
    """A person looks for a row at the time that the file gives."""
    caplog.set_level(logging.INFO)
    parse(values)
    assert "to UTC" in caplog.text


@pytest.mark.parametrize("values", [texts("+02:00"), texts("Z"), WINTER.tz_localize("Europe/Berlin")])
def test_a_constant_offset_needs_no_report(values: object, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was converted."""
    caplog.set_level(logging.INFO)
    parse(values)
    assert not caplog.text


def test_stamps_with_and_without_an_offset_are_refused() -> None:
    """One without an offset would be taken for UTC."""
    with pytest.raises(SeriesError):
        parse([*texts("+02:00"), *texts("")])


@pytest.mark.parametrize(
    "values", [texts("+02:00"), texts("-03:30"), texts("Z"), CHANGE.map(pd.Timestamp.isoformat), CHANGE]
)
def test_utc_is_the_instant_that_the_file_gives(values: object) -> None:
    """The age of the newest row and a champion of another zone are compared in it."""
    parsed = parse(values)
    expected = pd.to_datetime(pd.Series(values), utc=True)
    assert to_utc(parsed.stamps, parsed.zone).tolist() == expected.tolist()


def test_stamps_without_a_zone_have_no_utc() -> None:
    """Taking them for UTC would make fresh data hours old."""
    with pytest.raises(ValueError, match="without a zone"):
        to_utc(WINTER, None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (texts(""), "2020-01-01 04:00:00"),
        (texts("+02:00"), "2020-01-01 04:00:00+02:00"),
        (texts("Z"), "2020-01-01 04:00:00+00:00"),
        (CHANGE[:4].append(CHANGE[-4:]), "2020-10-26 11:00:00+01:00"),
    ],
)
def test_the_stamp_after_the_file_is_written_as_the_file_writes_its_own(values: object, expected: str) -> None:
    """A forecast of a file at +02:00 came back two hours early."""
    parsed = parse(values)
    after = pd.DatetimeIndex([parsed.stamps.iloc[-1] + pd.Timedelta(hours=1)])
    assert str(as_in_file(after, parsed.zone)[0]) == expected


def test_the_grid_of_a_clock_change_comes_back_in_wall_time() -> None:
    """The hour that is repeated has two offsets."""
    parsed = parse(CHANGE)
    assert as_in_file(pd.DatetimeIndex(parsed.stamps), parsed.zone).tolist() == CHANGE.tolist()
