"""The raw table becomes a series, or one clear error: dates parsed and even, channels numeric and complete."""

import difflib
import logging
import re
from datetime import date, time, timedelta

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series.clock import future_by
from timellm_pipeline.series.dates import parse_dates, repeated_hour
from timellm_pipeline.series.frequency import find_frequency
from timellm_pipeline.series.gaps import fill_gaps
from timellm_pipeline.series.names import clean_names, list_names, text_names

log = logging.getLogger(__name__)

_REMOVE = "fill the value in, or remove the column if it is not a channel"
REPEATED_HOUR = (
    "this looks like the hour that a clock change repeats: write time stamps in UTC or with their UTC offset, and "
    "delete no rows"
)
KINDS = (
    ((list, tuple, dict, set, np.ndarray), "lists or dictionaries"),
    ((date, time, pd.Period), "dates or times"),  # a datetime and a Timestamp are dates
    ((timedelta, np.timedelta64), "durations"),
    ((complex, np.complexfloating), "complex numbers"),
)
HEADER_LINES = 1  # row 0 of the frame is line 2 of the file


def validate_series(raw: pd.DataFrame, data: DataParams, window: WindowParams) -> pd.DataFrame:
    """The series as float64 channels behind a `date` column, its facts in `attrs`.

    Args:
        raw: the file as read; `attrs["path"]` and `attrs["sha256"]` name where it is from.

    Returns:
        Frame with `date` first and each channel after it, one row per time stamp, evenly spaced. `attrs` hold
        `frequency`, `file`, `sha256`, `utc` (whether the time stamps carried a UTC offset), and the rows that
        `data.gaps` filled.

    Raises:
        SeriesError: naming file, row and column, for a missing date or target column, unparsable, repeated or
            missing time stamps, and values that are not finite numbers. Rows that are only out of order are sorted,
            with a warning.
    """
    file = str(raw.attrs.get("path", "the series"))
    if not len(raw.columns):
        raise SeriesError("the file has no columns", where=file, do="give a date column and one column per channel")
    if raw.empty:
        raise SeriesError("the file has no rows", where=file, do="give a CSV with a header and one row per time stamp")
    raw = raw.set_axis(clean_names([str(name) for name in text_names(raw.columns, file)], file), axis=1)
    if data.date_column not in raw.columns:
        raise SeriesError(
            f"there is no column `{data.date_column}`; the columns are {list_names(list(raw.columns))}",
            where=f"{file}, header",
            do="set data.date_column to the column with the time stamps",
        )
    dates, in_utc = parse_dates(raw[data.date_column], data, file)
    channels = [name for name in raw.columns if name != data.date_column]
    if "date" in channels:
        raise SeriesError(
            f"there is a channel named `date` beside the time stamps in `{data.date_column}`",
            where=f"{file}, header",
            do="rename that column",
        )
    if window.target not in channels:
        near = difflib.get_close_matches(window.target, channels, n=1) or channels[-1:]
        raise SeriesError(
            f"the target channel `{window.target}` is not in the file; its channels are {list_names(channels)}",
            where=f"{file}, header",
            do=f"set window.target, for example --params window.target={shown(near[0])}" if near else "add a channel",
        )
    values = _numbers(raw[channels], file, may_be_missing=data.gaps != "error")
    series = _in_order(pd.DataFrame({"date": dates.to_numpy(), **values}), in_utc, file)
    frequency = find_frequency(series["date"], file, gaps_allowed=data.gaps != "error")
    series = series.reset_index(drop=True)
    series.attrs = {"frequency": frequency, "file": file, "sha256": raw.attrs.get("sha256"), "utc": in_utc}
    if data.gaps != "error":
        series = fill_gaps(series, frequency, data.gaps)
    _report_constant(series, channels)
    ahead = future_by(series)
    if ahead is not None:
        log.warning("%s: the newest row, %s, is %s in the future", file, series["date"].iloc[-1], ahead)
    return series


def _in_order(series: pd.DataFrame, in_utc: bool, file: str) -> pd.DataFrame:
    """The rows in the order of time, numbered as in the file. Raises SeriesError for a repeated time stamp."""
    dates = series["date"]
    twice = dates.duplicated()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        first = int(np.flatnonzero(dates == dates.iloc[row])[0])
        raise SeriesError(
            f"the time stamp {dates.iloc[row]} is repeated, first in line {_line(first)}; "
            f"there are {int(twice.sum())} such rows",
            where=f"{file}, line {_line(row)}",
            do=REPEATED_HOUR if not in_utc and repeated_hour(series) else "remove the duplicate rows",
        )
    if dates.is_monotonic_increasing:
        return series
    backwards = int(np.flatnonzero(dates.diff() < pd.Timedelta(0))[0])
    log.warning("%s: rows are not in the order of time (line %s for one); they are sorted", file, _line(backwards))
    return series.sort_values("date")


def _numbers(table: pd.DataFrame, file: str, may_be_missing: bool) -> dict[str, np.ndarray]:
    """Each channel as float64. Raises SeriesError that names what is wrong in every channel."""
    values, problems = {}, []
    for name in table.columns:
        column = table[name]
        kind = _not_numbers(column)
        if kind is not None:
            fact = f"channel `{shown(name)}` holds {kind}, not real numbers"
            problems.append((fact, f"column `{shown(name)}`", "write real numbers, or remove the column"))
            continue
        if column.dtype == object:  # integers of hundreds of digits have no float64
            column = column.map(lambda value: np.inf if isinstance(value, int) and abs(value) > 1e308 else value)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        missing = column.isna().to_numpy()
        bad = np.flatnonzero(~np.isfinite(numbers) & ~(missing & may_be_missing))
        if missing.all():
            problems.append((f"channel `{shown(name)}` has no value at all", f"column `{shown(name)}`", _REMOVE))
        elif bad.size:
            row = int(bad[0])
            found = column.iloc[row]
            fact = (
                f"a value of channel `{shown(name)}` is missing"
                if missing[row]
                else f"{found if isinstance(found, float) else _quoted(found)} is not a finite number"
            )
            place = f"line {_line(row)}, column `{shown(name)}` ({bad.size} such values in this column)"
            problems.append((fact, place, _advice(found, bool(missing[row]))))
        values[str(name)] = numbers
    if problems:
        others = (
            f"; and {len(problems) - 1} more channels, `{shown(table.columns[-1])}` for one"
            if len(problems) > 9
            else ""
        )
        listed = "; ".join(fact if n == 0 else f"{fact} ({place})" for n, (fact, place, _) in enumerate(problems[:5]))
        raise SeriesError(listed + others, where=f"{file}, {problems[0][1]}", do=problems[0][2])
    return values


def _not_numbers(column: pd.Series) -> str | None:
    """What a column holds that pandas would turn into numbers all the same; None for numbers and text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.categories.to_series()
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        return "dates"
    if pd.api.types.is_timedelta64_dtype(column):
        return "durations"
    if pd.api.types.is_complex_dtype(column):
        return "complex numbers"
    if column.dtype == object:
        present = column[column.map(lambda value: value is not pd.NaT)]
        for kinds, name in KINDS:
            if present.map(lambda value, kinds=kinds: isinstance(value, kinds)).any():
                return name
    return None


def _quoted(found: object) -> str:
    return f"'{shown(found)}'" if isinstance(found, str) else shown(repr(found))


def _advice(found: object, missing: bool) -> str:
    text = str(found).strip()
    if missing:
        return "fill the value in, or set data.gaps to interpolate or drop_windows"
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text):
        return 'take the thousands separators out, or set data.csv to {thousands: ","}'
    if re.fullmatch(r"-?\d+,\d+", text):
        return 'write decimal points, or set data.csv to {decimal: ","}'
    return _REMOVE


def _report_constant(series: pd.DataFrame, channels: list[str]) -> None:
    values = series[channels].to_numpy()
    spread, size = np.ptp(values, axis=0), np.abs(values).max(axis=0)
    still = [name for name, one, other in zip(channels, spread, size, strict=True) if one <= 1e-9 * other]
    if still:
        log.warning("%s hardly change over the series: there is nothing to forecast in them", list_names(still))


def _line(row: int) -> int:
    """Line of the file, counted from 1 with the header as the first, as an editor shows it."""
    return row + 1 + HEADER_LINES
