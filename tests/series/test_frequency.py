"""The frequency is found on the calendar and gives the season and the words of the prompt."""

import pandas as pd
import pytest

from conftest import check
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series.frequency import frequency_in_words, season_length


def frequency_of(dates: pd.DatetimeIndex) -> str:
    """The frequency that validation finds in a file with these dates."""
    frame = pd.DataFrame({"date": dates.astype(str), "OT": range(len(dates))})
    return check(frame).frequency


@pytest.mark.parametrize(
    ("alias", "season"),
    [
        ("min", 1440),
        ("10min", 144),
        ("15min", 96),
        ("30min", 48),
        ("h", 24),
        ("2h", 12),
        ("12h", 2),
        ("D", 7),
        ("W-MON", 52),
        ("7min", 1),  # a day is no whole number of 7 minutes
        ("5h", 1),
        ("2D", 1),
    ],
)
def test_season_is_a_day_a_week_or_a_year_of_rows(alias: str, season: int) -> None:
    """Without it seasonal naive, the rival of every model, would repeat the wrong rows and look weak."""
    assert season_length(frequency_of(pd.date_range("2019-12-31", periods=60, freq=alias))) == season
    assert season_length(alias) == season


@pytest.mark.parametrize(("alias", "season"), [("B", 5), ("MS", 12), ("ME", 12), ("QS", 4), ("QE", 4), ("YS", 1)])
def test_season_of_months_and_business_days_is_found_on_the_calendar(alias: str, season: int) -> None:
    """Without it a series whose steps differ in length would be refused, or compared with plain naive."""
    assert season_length(alias) == season
    assert season_length(frequency_of(pd.date_range("2019-12-31", periods=60, freq=alias))) == season


@pytest.mark.parametrize(
    ("alias", "words"),
    [
        ("h", "hourly"),
        ("15min", "15-minute"),
        ("30s", "30-second"),
        ("2h", "2-hour"),
        ("D", "daily"),
        ("W", "weekly"),
    ],
)
def test_frequency_of_the_dates_is_named_in_words(alias: str, words: str) -> None:
    """Without it the prompt would tell the language model a pandas alias, or a number it has to divide."""
    assert frequency_in_words(frequency_of(pd.date_range("2019-12-31", periods=60, freq=alias))) == words


@pytest.mark.parametrize(("alias", "words"), [("B", "business-daily"), ("MS", "monthly"), ("ME", "monthly")])
def test_calendar_frequency_of_the_dates_is_named_in_words(alias: str, words: str) -> None:
    """Without it the prompt of a monthly series would say `MS`."""
    assert frequency_in_words(frequency_of(pd.date_range("2019-12-31", periods=60, freq=alias))) == words


def test_frequency_without_a_word_is_named_by_its_alias() -> None:
    """Without it an unusual frequency would be described as another one."""
    assert frequency_in_words("QS-OCT") == "evenly spaced (QS-OCT)"


@pytest.mark.parametrize(("alias", "found"), [("15min", "15min"), ("h", "h"), ("3h", "3h")])
@pytest.mark.parametrize("num_rows", [3, 500])
def test_even_steps_of_any_number_are_their_own_frequency(alias: str, found: str, num_rows: int) -> None:
    """Without it a short series would be refused, or two rows be enough to call anything even."""
    assert frequency_of(pd.date_range("2020-01-01", periods=num_rows, freq=alias)) == found


@pytest.mark.parametrize("alias", ["MS", "B"])
@pytest.mark.parametrize("num_rows", [6, 500])
def test_calendar_steps_of_different_length_are_no_gaps(alias: str, num_rows: int) -> None:
    """Without it February, or each weekend, would be called a gap."""
    assert frequency_of(pd.date_range("2020-01-01", periods=num_rows, freq=alias)) == alias


@pytest.mark.parametrize("place", [1, 20, 58])
@pytest.mark.parametrize("alias", ["15min", "h", "D"])
def test_missing_row_is_named_at_its_line(alias: str, place: int) -> None:
    """Without it a gap would pass for a longer step, and every later window be out of season."""
    dates = pd.date_range("2020-01-01", periods=60, freq=alias).delete(place)
    with pytest.raises(SeriesError) as caught:
        frequency_of(dates)
    assert caught.value.where == f"a.csv, line {place + 2}"
    assert caught.value.what.startswith(f"{dates[place]} is")
    assert "1 irregular steps" in caught.value.what


@pytest.mark.parametrize("gaps", ["error", "interpolate"])
def test_a_stamp_centuries_away_is_refused_without_a_grid_up_to_it(gaps: str) -> None:
    """550 years in seconds are 129 GiB of time stamps."""
    stamps = [*pd.date_range("1700-01-01", periods=20, freq="s").astype(str), "2250-01-01 00:00:00"]
    frame = pd.DataFrame({"date": stamps, "OT": range(21)})
    with pytest.raises(SeriesError, match="2250-01-01"):
        check(frame, DataParams(gaps=gaps), WindowParams())


@pytest.mark.parametrize("alias", ["MS", "B"])
def test_missing_row_of_a_calendar_frequency_is_an_error(alias: str) -> None:
    """Without it a month or a business day could be missing unseen, because its steps differ anyway."""
    with pytest.raises(SeriesError, match=r"fill in the missing rows"):
        frequency_of(pd.date_range("2020-01-01", periods=60, freq=alias).delete(20))


@pytest.mark.parametrize("alias", ["MS", "B"])
def test_missing_row_of_a_calendar_frequency_is_named_at_its_line(alias: str) -> None:
    """Without it a person is sent to a weekend, finds nothing missing there, and has no way on."""
    with pytest.raises(SeriesError) as caught:
        frequency_of(pd.date_range("2020-01-01", periods=60, freq=alias).delete(20))
    assert caught.value.where == "a.csv, line 22"


@pytest.mark.parametrize("gaps", ["error", "interpolate", "drop_windows"])
def test_the_last_friday_of_each_month_is_not_the_fourth(gaps: str) -> None:
    """pandas names both by the fourth; the time stamps of five months in twelve would be a week early."""
    dates = pd.date_range("2020-01-31", periods=40, freq="LWOM-FRI")
    panel = check(pd.DataFrame({"date": dates.astype(str), "OT": range(40)}), DataParams(gaps=gaps))
    assert panel.frequency == "LWOM-FRI" and panel.stamps.equals(dates)
    assert frequency_of(pd.date_range("2020-01-24", periods=40, freq="WOM-4FRI")) == "WOM-4FRI"


@pytest.mark.parametrize("gaps", ["error", "interpolate", "drop_windows"])
@pytest.mark.parametrize("hours", [range(8, 18), range(9, 16), [9, 10, 11, 13, 14, 15, 16]], ids=str)
def test_hours_of_a_working_day_are_refused_unless_they_are_those_of_pandas(gaps: str, hours: list[int]) -> None:
    """pandas calls any of them `bh`, which is 9 to 17: rows would be moved to other hours, or lost."""
    dates = pd.date_range("2020-01-01", periods=2000, freq="h")
    dates = dates[dates.hour.isin(hours) & (dates.day_of_week < 5)]
    with pytest.raises(SeriesError, match="irregular steps|would be interpolated"):
        check(pd.DataFrame({"date": dates.astype(str), "OT": range(len(dates))}), DataParams(gaps=gaps))


@pytest.mark.parametrize("gaps", ["error", "interpolate"])
def test_local_midnights_of_months_are_not_monthly_in_utc(gaps: str) -> None:
    """With summer time they are at 22:00 or 23:00 UTC of the last day of a month; the grid would have only one."""
    dates = pd.date_range("2020-01-01", periods=30, freq="MS", tz="Europe/Berlin")
    with pytest.raises(SeriesError, match="irregular steps"):
        check(pd.DataFrame({"date": dates.astype(str), "OT": range(30)}), DataParams(gaps=gaps))
