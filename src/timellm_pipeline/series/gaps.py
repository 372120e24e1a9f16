"""Missing time stamps and empty cells: filled in along time, and remembered where windows must not touch them."""

import logging
from typing import Literal

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown

log = logging.getLogger(__name__)

MOST_MISSING = 0.5  # of the rows, and of the values of a channel


def fill_gaps(series: pd.DataFrame, frequency: str, gaps: Literal["interpolate", "drop_windows"]) -> pd.DataFrame:
    """The series on an even time axis, nothing missing.

    Args:
        series: `date` and float64 channels; dates in order, on the axis of `frequency`, cells may be NaN.
        gaps: with `drop_windows` `attrs["gaps"]` holds the rows that were filled in, as [first, last] pairs.

    Raises SeriesError when more than half of the rows, or of the values of a channel, would be interpolated.
    """
    file = series.attrs["file"]
    dates = series["date"]
    rows = (dates.iloc[-1] - dates.iloc[0]) / dates.diff().min() + 1  # before an axis of centuries in seconds is made
    if rows > 2 * len(series) / (1 - MOST_MISSING):
        raise SeriesError(
            f"from {dates.iloc[0]} to {dates.iloc[-1]} there would be {rows:,.0f} rows, and the file has "
            f"{len(series):,}: more than half would be interpolated",
            where=file,
            do="give the longest stretch without gaps as a file of its own",
        )
    axis = pd.date_range(series["date"].iloc[0], series["date"].iloc[-1], freq=frequency)
    if len(axis) > len(series) / (1 - MOST_MISSING):
        raise SeriesError(
            f"{len(axis) - len(series):,} of {len(axis):,} time stamps are missing: "
            "more than half would be interpolated",
            where=file,
            do="give the longest stretch without gaps as a file of its own",
        )
    complete = series.set_index("date").reindex(axis)
    cells = complete.isna()
    worst = str(cells.sum().idxmax())
    if int(cells[worst].sum()) > MOST_MISSING * len(axis):
        raise SeriesError(
            f"{int(cells[worst].sum()):,} of {len(axis):,} values of channel `{shown(worst)}` are missing: "
            "more than half would be interpolated",
            where=f"{file}, column `{shown(worst)}`",
            do="remove the column, or give a stretch of time in which it has values",
        )
    missing = cells.any(axis=1).to_numpy()
    if missing.any():
        filled = complete.interpolate(method="time", limit_direction="both")
        complete = filled.ffill().bfill()
        log.warning(
            "%s: %s missing time stamps and %s rows with empty cells are filled in along time%s; the first is %s",
            file,
            f"{len(axis) - len(series):,}",
            f"{int(missing.sum()) - (len(axis) - len(series)):,}",
            ", and windows that touch them are left out" if gaps == "drop_windows" else "",
            axis[int(np.flatnonzero(missing)[0])],
        )
    made = complete.rename_axis("date").reset_index()
    made.attrs = {**series.attrs, "filled": stretches(missing)}
    if gaps == "drop_windows":
        made.attrs["gaps"] = stretches(missing)
    return made


def stretches(marked: np.ndarray) -> list[list[int]]:
    """First and last row of each run of marked rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [[int(first), int(last) - 1] for first, last in edges.reshape(-1, 2)]


def touches(starts: np.ndarray, length: int, gaps: list[list[int]]) -> np.ndarray:
    """For each start row, whether `length` rows from there touch a gap."""
    touched = np.zeros(len(starts), dtype=bool)
    for first, last in gaps:
        touched |= (starts <= last) & (starts + length > first)
    return touched
