"""The one frequency of a series, and what it means in rows and in words."""

import warnings

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError

DAY = pd.Timedelta(days=1)
MOST_ROWS = 4  # times the rows of the file; `fill_gaps` refuses to fill in more
CALENDAR_SEASONS = {"W": 52, "M": 12, "MS": 12, "ME": 12, "Q": 4, "QS": 4, "QE": 4, "B": 5, "D": 7}
WORDS = {
    "h": "hourly",
    "D": "daily",
    "7D": "weekly",
    "W": "weekly",
    "B": "business-daily",
    "MS": "monthly",
    "ME": "monthly",
}


def find_frequency(dates: pd.Series, file: str, gaps_allowed: bool) -> str:
    """The pandas alias of the series' one frequency. `dates` are in order, none repeated, numbered as in the file.

    Raises SeriesError at the first stamp that breaks it: a missing one, unless gaps are allowed, or one between two.
    """
    if len(dates) < 3:
        raise SeriesError(f"{len(dates)} rows are too few to find the frequency", where=file, do="give a longer series")
    stamps = pd.DatetimeIndex(dates)
    steps = dates.diff().iloc[1:]
    usual = steps.mode().iloc[0]
    uneven = np.flatnonzero(steps != usual)
    if not uneven.size:
        return _alias(usual)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas will return an offset one day; either has the alias read here
        calendar = pd.infer_freq(stamps)  # months and business days are even on the calendar alone
        if calendar is not None:
            return str(pd.tseries.frequencies.to_offset(calendar).freqstr)
        start = pd.infer_freq(stamps[:10]) if len(stamps) > 10 else None  # the calendar before the gap, if any
    row = int(uneven[0]) + 1
    if start is not None:
        short = (stamps[-1] - stamps[0]) / steps.min() <= MOST_ROWS * len(stamps)
        # The grid of a file with one stamp centuries away would not fit into memory: `fill_gaps` refuses such a file.
        end = {"end": stamps[-1]} if short else {"periods": len(stamps)}
        grid = pd.date_range(stamps[0], freq=start, **end)
        if not short or stamps.isin(grid).all():
            if gaps_allowed:
                return str(pd.tseries.frequencies.to_offset(start).freqstr)
            row = int(np.flatnonzero(stamps != grid[: len(stamps)])[0])
    elif gaps_allowed and ((stamps - stamps[0]) % usual == pd.Timedelta(0)).all():
        return _alias(usual)
    raise SeriesError(
        f"{dates.iloc[row]} comes {dates.iloc[row] - dates.iloc[row - 1]} after {dates.iloc[row - 1]}, where the step "
        f"is {usual}; there are {uneven.size} such places",
        where=f"{file}, line {int(dates.index[row]) + 2}",  # counted from 1, the header first
        do="fill or cut the missing rows, so that time stamps are evenly spaced"
        + ("" if gaps_allowed else ", or set data.gaps to interpolate or drop_windows"),
    )


def _alias(step: pd.Timedelta) -> str:
    days = step // pd.Timedelta(days=1)
    if step == pd.Timedelta(days=days):  # pandas would call a day 24h
        return "D" if days == 1 else f"{days}D"
    return str(pd.tseries.frequencies.to_offset(step).freqstr)


def season_length(frequency: str) -> int:
    """Rows in a season: a day for steps below a day, a week for days, a year for weeks and longer.

    The seasonal-naive baseline repeats that many rows. Where a day is not an integer number of steps the season is 1,
    which makes seasonal naive the same as naive.
    """
    offset = pd.tseries.frequencies.to_offset(frequency)
    try:
        step = pd.Timedelta(offset.nanos, unit="ns")
    except ValueError:  # months and business days have no fixed length
        return CALENDAR_SEASONS.get(frequency.split("-", maxsplit=1)[0], 1)
    if step < DAY:
        return int(DAY / step) if DAY % step == pd.Timedelta(0) else 1
    return {1: 7, 7: 52}.get(step.days, 1)


def frequency_in_words(frequency: str) -> str:
    """`hourly` for h, `15-minute` for 15min, and so on, for the prompt's neutral description."""
    base = frequency.split("-", maxsplit=1)[0]
    if base in WORDS:
        return WORDS[base]
    for suffix, unit in (("min", "minute"), ("h", "hour"), ("s", "second"), ("D", "day")):
        if base.endswith(suffix) and base.removesuffix(suffix).isdigit():
            return f"{base.removesuffix(suffix)}-{unit}"
    return f"evenly spaced ({frequency})"
