"""The raw table becomes a series, or one clear error: dates parsed and even, channels numeric and whole."""

import difflib
import warnings

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams

HEADER_LINES = 1  # row 0 of the frame is line 2 of the file


def validate_series(raw: pd.DataFrame, data: DataParams, window: WindowParams) -> pd.DataFrame:
    """The series as float64 channels behind a `date` column, its frequency in `attrs["frequency"]`.

    Args:
        raw: the file as read; `attrs["path"]` and `attrs["sha256"]` say where it is from.

    Returns:
        Frame with `date` first and each channel after it, one row a time stamp, evenly spaced.

    Raises:
        SeriesError: naming file, row and column, for a missing date or target column, unparsable, unordered,
            duplicate or missing time stamps, and values that are no finite numbers.
    """
    file = str(raw.attrs.get("path", "the series"))
    if raw.empty:
        raise SeriesError("the file has no rows", where=file, do="give a CSV with a header and one row a time stamp")
    dates = _parse_dates(raw, data, file)
    frequency = _even_frequency(dates, file)
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
            f"the target channel `{window.target}` is not in the file; its channels are {_list(channels)}",
            where=f"{file}, header",
            do=f"set window.target, for example --params window.target={near[0]}" if near else "add a channel",
        )
    values = {name: _numbers(raw[name], file) for name in channels}
    series = pd.DataFrame({"date": dates, **values})
    series.attrs = {"frequency": frequency, "file": file, "sha256": raw.attrs.get("sha256")}
    return series


def _parse_dates(raw: pd.DataFrame, data: DataParams, file: str) -> pd.Series:
    name = data.date_column
    if name not in raw.columns:
        raise SeriesError(
            f"there is no column `{name}`; the columns are {_list([str(column) for column in raw.columns])}",
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


def _even_frequency(dates: pd.Series, file: str) -> str:
    """The pandas alias of the series' one frequency. Raises SeriesError at the first stamp that breaks it."""
    if len(dates) < 3:
        raise SeriesError(f"{len(dates)} rows are too few to tell a frequency", where=file, do="give a longer series")
    steps = dates.diff().iloc[1:]
    backwards = np.flatnonzero(steps <= pd.Timedelta(0))
    if backwards.size:
        row = int(backwards[0]) + 1
        same = dates.iloc[row] == dates.iloc[row - 1]
        fact = "stands twice" if same else f"comes after {dates.iloc[row - 1]}"
        raise SeriesError(
            f"the time stamp {dates.iloc[row]} {fact}",
            where=f"{file}, line {_line(row)}",
            do="remove the duplicate row" if same else "sort the rows by time",
        )
    usual = steps.mode().iloc[0]
    uneven = np.flatnonzero(steps != usual)
    if not uneven.size:
        days = usual // pd.Timedelta(days=1)
        if usual == pd.Timedelta(days=days):  # pandas would call a day 24h
            return "D" if days == 1 else f"{days}D"
        return str(pd.tseries.frequencies.to_offset(usual).freqstr)
    stamps = pd.DatetimeIndex(dates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas will return an offset one day; either has the alias read here
        calendar = pd.infer_freq(stamps)  # months and business days are even on the calendar alone
        if calendar is not None:
            return str(pd.tseries.frequencies.to_offset(calendar).freqstr)
        start = pd.infer_freq(stamps[:10]) if len(stamps) > 10 else None  # the calendar before the gap, if any
    row = int(uneven[0]) + 1
    if start is not None:
        row = int(np.flatnonzero(stamps != pd.date_range(stamps[0], periods=len(stamps), freq=start))[0])
    raise SeriesError(
        f"{dates.iloc[row]} comes {dates.iloc[row] - dates.iloc[row - 1]} after {dates.iloc[row - 1]}, where the step "
        f"is {usual}; there are {uneven.size} such places",
        where=f"{file}, line {_line(row)}",
        do="fill or cut the missing rows, so that time stamps are evenly spaced",
    )


def _numbers(column: pd.Series, file: str) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        row = int(bad[0])
        found = column.iloc[row]
        fact = "is missing" if pd.isna(found) else f"{found!r} is not a finite number"
        raise SeriesError(
            f"a value of channel `{column.name}` {fact}" if pd.isna(found) else fact,
            where=f"{file}, line {_line(row)}, column `{column.name}` ({bad.size} such values in this column)",
            do="fill the value in, or remove the column if it is not a channel",
        )
    return numbers


def _line(row: int) -> int:
    """Line of the file, counted from 1 with the header as the first, as an editor shows it."""
    return row + 1 + HEADER_LINES


def _list(names: list[str], most: int = 12) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
