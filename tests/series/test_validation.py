"""A bad CSV gives one SeriesError that names file, line and column; a good one becomes an even series."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import check
from timellm_pipeline.errors import SeriesError, UserError
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series import validation
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.scaling import fit_scaler, scale_panel

HEADER = "date,HUFL,OT"
ROWS = [f"2020-01-01 {hour:02d}:00:00,{hour},{hour / 2}" for hour in range(12)]  # row 0 is line 2 of the file
ONE = " (1 such values in this column)"


def read(path: Path, lines: list[str]) -> pd.DataFrame:
    """A file of these lines, written and read as the raw series is."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pd.read_csv(path)


def refusal(path: Path, lines: list[str], target: str = "OT", date_column: str = "date") -> SeriesError:
    """The error that a file of these lines gives."""
    with pytest.raises(SeriesError) as caught:
        check(read(path, lines), DataParams(date_column=date_column), WindowParams(target=target), str(path))
    error = caught.value
    assert isinstance(error, UserError)
    assert error.where.startswith(str(path))
    assert error.do
    return error


def with_line(number: int, text: str) -> list[str]:
    """The good file with one line, counted from 1 as an editor does, replaced."""
    lines = [HEADER, *ROWS]
    lines[number - 1] = text
    return lines


def without_line(number: int) -> list[str]:
    """The good file with one line left out."""
    return [line for place, line in enumerate([HEADER, *ROWS], start=1) if place != number]


@pytest.mark.parametrize(
    ("lines", "what", "place"),
    [
        (with_line(6, "yesterday,4,2"), "'yesterday' is not a time stamp", ", line 6, column `date`"),
        (with_line(2, "2020-13-01 00:00:00,4,2"), "'2020-13-01 00:00:00' is not a time", ", line 2, column `date`"),
        (with_line(13, ",4,2"), "nan is not a time stamp", ", line 13, column `date`"),
        (with_line(7, ROWS[4]), "time stamp 2020-01-01 04:00:00 is repeated", ", line 7"),
        (with_line(7, ROWS[1]), "2020-01-01 01:00:00 is repeated, first in line 3; there are 1 such", ", line 7"),
        (with_line(6, "now,4,2"), "'now' is not a time stamp", ", line 6, column `date`"),
        (without_line(9), "2020-01-01 08:00:00 is 0 days 02:00:00 after 2020-01-01 06:00:00", ", line 9"),
        (
            with_line(13, "2020-01-01 11:30:00,4,2"),
            "the usual step is 0 days 01:00:00; the file has 1 irregular",
            ", line 13",
        ),
        (with_line(5, "2020-01-01 03:00:00,n.a.,2"), "'n.a.' is not a finite number", ", line 5, column `HUFL`" + ONE),
        (with_line(5, "2020-01-01 03:00:00,4,inf"), "is not a finite number", ", line 5, column `OT`" + ONE),
        (with_line(4, "2020-01-01 02:00:00,4,"), "a value of channel `OT` is missing", ", line 4, column `OT`" + ONE),
        (
            [HEADER, *[f"{row.rsplit(',', 1)[0]}," for row in ROWS]],
            "channel `OT` has no values",
            ", column `OT`",
        ),
        ([HEADER], "the file has no rows", ""),
        ([HEADER, *ROWS[:2]], "2 rows are too few to find the frequency", ""),
        (["time,HUFL,OT", *ROWS], "no column `date`; the columns are `time`, `HUFL`, `OT`", ", header"),
        (["date", *[row.split(",")[0] for row in ROWS]], "the target channel `OT` is not in the file", ", header"),
    ],
)
def test_bad_file_is_one_error_with_file_line_and_column(
    tmp_path: Path, lines: list[str], what: str, place: str
) -> None:
    """Without it a person with 17,420 rows learns that something is wrong, and not where."""
    error = refusal(tmp_path / "bad.csv", lines)
    assert what in error.what
    assert error.where == f"{tmp_path / 'bad.csv'}{place}"


@pytest.mark.parametrize(("target", "nearest"), [("0T", "OT"), ("HUFFL", "HUFL"), ("temperature", "OT")])
def test_missing_target_is_answered_with_the_nearest_channel(tmp_path: Path, target: str, nearest: str) -> None:
    """Without it a misspelt target has to be found by opening the file."""
    error = refusal(tmp_path / "a.csv", [HEADER, *ROWS], target=target)
    assert error.what == f"the target channel `{target}` is not in the file; its channels are `HUFL`, `OT`"
    assert error.do.endswith(f"--params window.target={nearest}")


@pytest.mark.parametrize(
    ("lines", "do"),
    [
        (with_line(7, ROWS[4]), "remove the duplicate rows"),
        (without_line(9), "fill in the missing rows"),
        (without_line(9), "set data.gaps to interpolate or drop_windows"),
        (with_line(5, "2020-01-01 03:00:00,,2"), "set data.gaps to interpolate or drop_windows"),
        (
            with_line(5, '2020-01-01 03:00:00,"1,234.5",2'),
            'remove the thousands separators, or set data.csv to {thousands: ","}',
        ),
        (with_line(5, '2020-01-01 03:00:00,"3,25",2'), 'decimal points, or set data.csv to {decimal: ","}'),
        (["time,HUFL,OT", *ROWS], "set data.date_column"),
        (with_line(5, "2020-01-01 03:00:00,x,2"), "remove the column if it is not a channel"),
    ],
)
def test_each_error_says_what_to_do(tmp_path: Path, lines: list[str], do: str) -> None:
    """Without it the remedy of one mistake could be printed for another."""
    assert do in refusal(tmp_path / "bad.csv", lines).do


@pytest.mark.parametrize("junk", ["", "x", "NaT", "2020-02-30", "0", "1e400", "01/02/2020", "2020-01-01T05:00:00"])
@pytest.mark.parametrize("line", [7, 13])
def test_every_bad_date_is_a_series_error_that_names_its_line(tmp_path: Path, line: int, junk: str) -> None:
    """Without it some junk leaves pandas' own error, or is taken for another time."""
    error = refusal(tmp_path / "bad.csv", with_line(line, f"{junk},1,2"))
    assert error.where.endswith(f", line {line}, column `date`")


def test_dates_with_and_without_a_utc_offset_are_a_series_error_that_names_the_column(tmp_path: Path) -> None:
    """A stamp without an offset would be taken for UTC."""
    stamps = [f"Jan 1 2020 {hour:02d}:00" + ("", " +0100", " +0200")[hour % 3] for hour in range(12)]
    lines = [HEADER, *[f"{stamp},1,2" for stamp in stamps]]
    assert "column `date`" in refusal(tmp_path / "bad.csv", lines).where


def test_dates_with_the_offsets_of_a_clock_change_are_counted_in_utc(tmp_path: Path) -> None:
    """Every German or French file with offsets has two of them; the error for a repeated hour recommends them."""
    local = pd.date_range("2020-10-24", periods=60, freq="h", tz="Europe/Berlin")
    lines = [HEADER, *[f"{stamp.isoformat()},{row},2" for row, stamp in enumerate(local)]]
    series = check(read(tmp_path / "a.csv", lines))
    assert series.stamps[0] == pd.Timestamp("2020-10-23 22:00:00") and series.frequency == "h"
    assert series.zone == "UTC" and series.series(0).tolist() == list(range(60))


def test_a_table_without_columns_is_named() -> None:
    """`the file has no rows` sends somebody to look for rows that are there."""
    with pytest.raises(SeriesError, match="the file has no columns"):
        check(pd.DataFrame(index=range(5)))


@pytest.mark.parametrize("dates", [range(2000, 2012), range(0, 43_200, 3_600)])
def test_dates_that_are_whole_numbers_are_refused(tmp_path: Path, dates: range) -> None:
    """Without it years or seconds pass as an even series of nanoseconds, season 86,400,000,000,000."""
    lines = [HEADER, *[f"{date},1,2" for date in dates]]
    assert refusal(tmp_path / "bad.csv", lines).where.endswith(", line 2, column `date`")


@pytest.mark.parametrize("junk", ["", "x", "NaN", "-inf", "1e999", "1,5", "12:30", "0x1F", "--"])
@pytest.mark.parametrize("line", [2, 7, 13])
def test_every_bad_value_is_a_series_error_that_names_its_line(tmp_path: Path, line: int, junk: str) -> None:
    """Without it one cell of text turns a channel into NaN, and the model with it."""
    error = refusal(tmp_path / "bad.csv", with_line(line, f'{ROWS[line - 2].split(",")[0]},1,"{junk}"'))
    assert error.where.endswith(f", line {line}, column `OT`{ONE}")


def test_rows_out_of_order_are_sorted_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only the order is wrong: nothing has to be guessed."""
    series = check(read(tmp_path / "a.csv", [HEADER, *reversed(ROWS)]))
    assert series.stamps.is_monotonic_increasing and series.series(0).tolist() == list(range(12))
    assert "not sorted by time (for example line 3); sorting them" in caplog.text


def test_problems_of_several_channels_are_reported_at_once(tmp_path: Path) -> None:
    """One run for each mistake is a morning lost."""
    error = refusal(tmp_path / "bad.csv", with_line(5, "2020-01-01 03:00:00,x,"))
    assert "'x' is not a finite number" in error.what and "channel `OT` is missing" in error.what


def test_a_channel_that_does_not_change_is_reported_and_stays_finite(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its deviation is zero, and dividing by it would give infinity."""
    lines = [HEADER, *[f"{row.split(',')[0]},7.25,{n}" for n, row in enumerate(ROWS)]]
    series = check(read(tmp_path / "a.csv", lines))
    assert "`HUFL`: these channels are constant or almost constant" in caplog.text
    borders = Borders(num_rows=12, train=(0, 8), validation=(6, 10), test=(8, 12))
    assert np.isfinite(scale_panel(series, fit_scaler(series, borders, "x")).series(0)).all()


def test_a_value_too_far_off_to_be_scaled_is_named(tmp_path: Path) -> None:
    """In float32 it would become infinite without a word."""
    series = check(read(tmp_path / "a.csv", with_line(12, "2020-01-01 10:00:00,1e300,2")), DataParams(), WindowParams())
    borders = Borders(num_rows=12, train=(0, 8), validation=(6, 10), test=(8, 12))
    with pytest.raises(SeriesError, match=r"1e\+300 is too far") as caught:
        scale_panel(series, fit_scaler(series, borders, "x"))
    assert "2020-01-01 10:00:00, column `HUFL`" in caught.value.where


def test_a_gap_in_a_file_out_of_order_is_named_by_the_files_own_line(tmp_path: Path) -> None:
    """The line in the sorted rows is one that nobody can look up."""
    newest_first = [HEADER, *[row for row in reversed(ROWS) if "05:00" not in row]]
    error = refusal(tmp_path / "series.csv", newest_first)
    assert "2020-01-01 06:00:00 is 0 days 02:00:00 after 2020-01-01 04:00:00" in error.what
    assert error.where.endswith(f"line {newest_first.index(next(row for row in ROWS if '06:00' in row)) + 1}")


def test_control_characters_in_names_are_replaced_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A spreadsheet's header `Load\\n(kW)` is common; in a log line it would forge another one."""
    raw = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=9, freq="h"), "Load\n(kW)": 1.0, "a\x1b[31m": 2.0})
    series = check(raw, DataParams(), WindowParams(target="Load\n(kW)"))
    assert series.ids == ("Load (kW)", "a [31m")
    assert "'Load\\n(kW)' becomes `Load (kW)`" in caplog.text and "\x1b" not in caplog.text
    with pytest.raises(SeriesError, match="are equal without control characters"):
        check(raw.assign(**{"Load (kW)": 1.0}), DataParams(), WindowParams(target="Load (kW)"))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.date_range("2020", periods=9), "dates"),
        (pd.to_timedelta(range(9), unit="h"), "durations"),
        ([1j] * 9, "complex numbers"),
        ([[1]] * 9, "lists or dictionaries"),
        ([(1, 2)] * 9, "lists or dictionaries"),
        (pd.period_range("2020", periods=9, freq="h"), "dates"),
        (pd.Categorical(pd.date_range("2020", periods=9)), "dates"),
        (pd.Series([1j] * 9, dtype=object), "complex numbers"),
        (pd.Series([timedelta(hours=1)] * 9, dtype=object), "durations"),
    ],
)
def test_columns_that_pandas_would_turn_into_numbers_are_refused(column: object, kind: str) -> None:
    """A column of dates became nanoseconds since 1970, and was forecast."""
    raw = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=9, freq="h"), "OT": 1.0, "other": column})
    with pytest.raises(SeriesError, match=f"channel `other` contains {kind}, not real numbers"):
        check(raw)


def test_a_channel_that_is_mostly_missing_is_not_made_up() -> None:
    """5,998 of 6,000 cells were invented without a word."""
    raw = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=90, freq="h"), "OT": 1.0, "HUFL": np.nan})
    raw.loc[[0, 89], "HUFL"] = 1.0
    with pytest.raises(SeriesError, match="88 of 90 values of channel `HUFL` are missing"):
        check(raw, DataParams(gaps="interpolate"), WindowParams())


@pytest.mark.parametrize("gaps", ["error", "interpolate"])
def test_no_row_is_lost_when_a_frequency_does_not_fit(gaps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frequency that pandas guesses wrongly must not move or drop rows, whatever finds it."""
    monkeypatch.setattr(validation, "find_frequency", lambda *_: "WOM-4FRI")
    dates = pd.date_range("2020-01-31", periods=40, freq="LWOM-FRI")
    frame = pd.DataFrame({"date": dates.astype(str), "OT": range(40)})
    with pytest.raises(SeriesError, match="is not on the grid of WOM-4FRI steps"):
        check(frame, DataParams(gaps=gaps))
