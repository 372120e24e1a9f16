"""The raw table becomes a series, or one clear error: dates parsed and even, channels numeric and whole."""

import difflib
import logging
import re
import warnings

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series.frequency import find_frequency
from timellm_pipeline.series.gaps import fill_gaps

log = logging.getLogger(__name__)

_REMOVE = "fill the value in, or remove the column if it is not a channel"
HEADER_LINES = 1  # row 0 of the frame is line 2 of the file


def validate_series(raw: pd.DataFrame, data: DataParams, window: WindowParams) -> pd.DataFrame:
    """The series as float64 channels behind a `date` column, its frequency in `attrs["frequency"]`.

    Args:
        raw: the file as read; `attrs["path"]` and `attrs["sha256"]` say where it is from.

    Returns:
        Frame with `date` first and each channel after it, one row a time stamp, evenly spaced.

    Raises:
        SeriesError: naming file, row and column, for a missing date or target column, unparsable, duplicate or
            missing time stamps, and values that are no finite numbers. Rows that are only out of order are sorted,
            and it is said.
    """
    file = str(raw.attrs.get("path", "the series"))
    if raw.empty:
        raise SeriesError("the file has no rows", where=file, do="give a CSV with a header and one row a time stamp")
    dates = _parse_dates(raw, data, file)
    channels = [str(name) for name in raw.columns if name != data.date_column]
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
            do=f"set window.target, for example --params window.target={near[0]}" if near else "add a channel",
        )
    values = _numbers(raw[channels], file, may_be_missing=data.gaps != "error")
    series = _in_order(pd.DataFrame({"date": dates.to_numpy(), **values}), file)
    frequency = find_frequency(series["date"], file, gaps_allowed=data.gaps != "error")
    series = series.reset_index(drop=True)
    series.attrs = {"frequency": frequency, "file": file, "sha256": raw.attrs.get("sha256")}
    if data.gaps != "error":
        series = fill_gaps(series, frequency, data.gaps)
    _say_what_is_constant(series, channels)
    return series


def _parse_dates(raw: pd.DataFrame, data: DataParams, file: str) -> pd.Series:
    name = data.date_column
    if name not in raw.columns:
        raise SeriesError(
            f"there is no column `{name}`; the columns are {list_names([str(column) for column in raw.columns])}",
            where=f"{file}, header",
            do="set data.date_column to the column with the time stamps",
        )
    if pd.api.types.is_numeric_dtype(raw[name]):
        raise SeriesError(
            f"{raw[name].iloc[0]!r} is a number, not a time stamp",
            where=f"{file}, line {_line(0)}, column `{name}`",
            do="write dates as 2016-07-01 00:00:00",
        )
    with warnings.catch_warnings():
        # pandas warns when it falls back to guessing each row's format; unparsable rows are reported below.
        warnings.simplefilter("ignore", UserWarning)
        try:
            dates = pd.to_datetime(raw[name], errors="coerce")
        except ValueError as error:
            raise SeriesError(
                f"the time stamps have more than one UTC offset: {error}",
                where=f"{file}, column `{name}`",
                do="write all of them in UTC",
            ) from error
    if not pd.api.types.is_datetime64_any_dtype(raw[name]):  # pandas takes words such as `now` for time stamps
        dates = dates.where(raw[name].astype(str).str.contains(r"\d", regex=True))
    if dates.dt.tz is not None:  # everything after this counts in UTC
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    if dates.isna().any():
        row = int(np.flatnonzero(dates.isna())[0])
        raise SeriesError(
            f"{raw[name].iloc[row]!r} is not a time stamp",
            where=f"{file}, line {_line(row)}, column `{name}`",
            do="write dates as 2016-07-01 00:00:00",
        )
    return dates.rename("date")


def _in_order(series: pd.DataFrame, file: str) -> pd.DataFrame:
    """The rows in the order of time, numbered as in the file. Raises SeriesError for a time stamp that stands twice."""
    dates = series["date"]
    twice = dates.duplicated()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        first = int(np.flatnonzero(dates == dates.iloc[row])[0])
        raise SeriesError(
            f"the time stamp {dates.iloc[row]} stands twice, first in line {_line(first)}; "
            f"there are {int(twice.sum())} such rows",
            where=f"{file}, line {_line(row)}",
            do="remove the duplicate rows",
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
        if column.dtype == object:  # whole numbers of hundreds of digits have no float64
            column = column.map(lambda value: np.inf if isinstance(value, int) and abs(value) > 1e308 else value)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        missing = column.isna().to_numpy()
        bad = np.flatnonzero(~np.isfinite(numbers) & ~(missing & may_be_missing))
        if missing.all():
            problems.append((f"channel `{name}` has no value at all", f"column `{name}`", _REMOVE))
        elif bad.size:
            row = int(bad[0])
            found = column.iloc[row]
            fact = (
                f"a value of channel `{name}` is missing"
                if missing[row]
                else f"{found if isinstance(found, float) else repr(found)} is not a finite number"
            )
            place = f"line {_line(row)}, column `{name}` ({bad.size} such values in this column)"
            problems.append((fact, place, _mend(found, bool(missing[row]))))
        values[str(name)] = numbers
    if problems:
        others = f"; and {len(problems) - 1} more channels, `{table.columns[-1]}` for one" if len(problems) > 9 else ""
        listed = "; ".join(fact if n == 0 else f"{fact} ({place})" for n, (fact, place, _) in enumerate(problems[:5]))
        raise SeriesError(listed + others, where=f"{file}, {problems[0][1]}", do=problems[0][2])
    return values


def _mend(found: object, missing: bool) -> str:
    text = str(found).strip()
    if missing:
        return "fill the value in, or set data.gaps to interpolate or drop_windows"
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text):
        return 'take the thousands separators out, or set data.csv to {thousands: ","}'
    if re.fullmatch(r"-?\d+,\d+", text):
        return 'write decimal points, or set data.csv to {decimal: ","}'
    return _REMOVE


def _say_what_is_constant(series: pd.DataFrame, channels: list[str]) -> None:
    values = series[channels].to_numpy()
    spread, size = np.ptp(values, axis=0), np.abs(values).max(axis=0)
    still = [name for name, one, other in zip(channels, spread, size, strict=True) if one <= 1e-9 * other]
    if still:
        log.warning("%s hardly change over the whole series: there is nothing to forecast in them", list_names(still))


def _line(row: int) -> int:
    """Line of the file, counted from 1 with the header as the first, as an editor shows it."""
    return row + 1 + HEADER_LINES


def list_names(names: list[str], most: int = 12) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
