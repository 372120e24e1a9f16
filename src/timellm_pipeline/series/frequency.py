"""Frequency of a series, its season length in rows, and its name in English."""

import re
import warnings

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.lines import line_of

DAY = pd.Timedelta(days=1)
MOST_ROWS = 4  # multiple of the rows of the file; `fill_gaps` raises an error for a longer grid
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


def find_frequency(dates: pd.Series, data: DataParams, file: str) -> str:
    """Pandas alias of the frequency of a series.

    Args:
        dates: sorted time stamps without duplicates; the index is the row number in the file.

    Raises SeriesError with the first irregular time stamp: one after a missing row, unless `data.gaps` allows gaps,
    or one between two rows of the grid.
    """
    gaps_allowed = data.gaps != "error"
    if len(dates) < 3:
        raise SeriesError(f"{len(dates)} rows are too few to find the frequency", where=file, do="give a longer series")
    stamps = pd.DatetimeIndex(dates)
    steps = dates.diff().iloc[1:]
    usual = steps.mode().iloc[0]
    uneven = np.flatnonzero(steps != usual)
    if not uneven.size:
        return _alias(usual)
    calendar = [*_calendar_frequencies(stamps), *_calendar_frequencies(stamps[:10])]  # the second: before a gap
    for frequency in calendar:
        grid = pd.date_range(stamps[0], periods=len(stamps), freq=frequency)
        if (grid == stamps).all():
            return frequency
    row = int(uneven[0]) + 1
    if calendar:
        short = (stamps[-1] - stamps[0]) / steps.min() <= MOST_ROWS * len(stamps)
        # If one time stamp is centuries away, the full grid does not fit in memory; `fill_gaps` rejects such a file.
        end = {"end": stamps[-1]} if short else {"periods": len(stamps)}
        grids = {frequency: pd.date_range(stamps[0], freq=frequency, **end) for frequency in calendar}
        possible = [frequency for frequency, grid in grids.items() if not short or stamps.isin(grid).all()]
        if possible:
            if gaps_allowed:
                return possible[0]
            grid = grids[possible[0]]
            row = int(np.flatnonzero(stamps != grid[: len(stamps)])[0])
    elif gaps_allowed and ((stamps - stamps[0]) % usual == pd.Timedelta(0)).all():
        return _alias(usual)
    raise SeriesError(
        f"{dates.iloc[row]} is {dates.iloc[row] - dates.iloc[row - 1]} after {dates.iloc[row - 1]}, but the usual step "
        f"is {usual}; the file has {uneven.size} irregular steps",
        where=f"{file}, line {line_of(int(dates.index[row]), data.csv)}",
        do="fill in the missing rows, or remove rows, so that time stamps are evenly spaced"
        + ("" if gaps_allowed else ", or set data.gaps to interpolate or drop_windows"),
    )


def _calendar_frequencies(stamps: pd.DatetimeIndex) -> list[str]:
    """Candidates for a frequency that is regular only on the calendar, such as months. pandas infers it from the dates
    alone and does not check the time of day, so the caller must compare the grid with the time stamps."""
    if len(stamps) < 3:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a future pandas returns an offset; `to_offset` accepts both
        inferred = pd.infer_freq(stamps)
    if inferred is None:
        return []
    name = str(pd.tseries.frequencies.to_offset(inferred).freqstr)
    last = re.sub(r"^WOM-4", "LWOM-", name)  # pandas calls the last Friday of each month the fourth
    return [name] if last == name else [name, last]


def _alias(step: pd.Timedelta) -> str:
    days = step // pd.Timedelta(days=1)
    if step == pd.Timedelta(days=days):  # pandas would return 24h for a day
        return "D" if days == 1 else f"{days}D"
    return str(pd.tseries.frequencies.to_offset(step).freqstr)


def season_length(frequency: str) -> int:
    """Season length in rows: a day for steps shorter than a day, a week for daily steps, a year for longer steps.

    The seasonal-naive baseline repeats this number of rows. If a day is not an integer number of steps, the season
    length is 1, and seasonal naive equals naive.
    """
    offset = pd.tseries.frequencies.to_offset(frequency)
    try:
        step = pd.Timedelta(offset.nanos, unit="ns")
    except ValueError:  # months and business days have no fixed length
        return CALENDAR_SEASONS.get(frequency.split("-", maxsplit=1)[0], 1)
    if step < DAY:
        return int(DAY / step) if DAY % step == pd.Timedelta(0) else 1
    return {1: 7, 7: 52}.get(step.days, 1)


def seasons_of(frequency: str) -> tuple[int, ...]:
    """All season lengths in rows, shortest first: for steps shorter than a day, a day and a week."""
    season = season_length(frequency)
    try:
        is_part_of_a_day = pd.Timedelta(pd.tseries.frequencies.to_offset(frequency).nanos, unit="ns") < DAY
    except ValueError:
        is_part_of_a_day = False
    return (season, 7 * season) if is_part_of_a_day and season > 1 else (season,)


def frequency_in_words(frequency: str) -> str:
    """Frequency in English for the default description in the prompt: `hourly` for h, `15-minute` for 15min."""
    base = frequency.split("-", maxsplit=1)[0]
    if base in WORDS:
        return WORDS[base]
    for suffix, unit in (("min", "minute"), ("h", "hour"), ("s", "second"), ("D", "day")):
        if base.endswith(suffix) and base.removesuffix(suffix).isdigit():
            return f"{base.removesuffix(suffix)}-{unit}"
    return f"evenly spaced ({frequency})"
