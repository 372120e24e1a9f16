"""Fill missing time stamps and empty cells by interpolation in time, and return the filled row ranges."""

import logging
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.series.panel import NO_SPANS

log = logging.getLogger(__name__)

MOST_MISSING = 0.5  # largest share of missing rows, and of missing values of a channel


def fill_gaps(
    columns: pd.DataFrame, frequency: str, gaps: Literal["interpolate", "drop_windows"], file: str
) -> tuple[pd.DataFrame, Int[np.ndarray, "spans 3"]]:
    """Columns on a regular time grid without missing values, and the filled rows of each column.

    Args:
        columns: float64 channels over a sorted DatetimeIndex on the grid of `frequency`; cells may be NaN.
        gaps: used only for the log; the window index decides whether windows may contain filled rows.
        file: name of the file in messages.

    Returns:
        The complete columns, and the filled spans as column number, first row, last row.

    Raises SeriesError if more than half of the rows, or of the values of a channel, would be interpolated.
    """
    dates = columns.index
    rows = (
        dates[-1] - dates[0]
    ) / dates.diff().min() + 1  # checked before the grid is built: it may span centuries in seconds
    if rows > 2 * len(columns) / (1 - MOST_MISSING):
        raise SeriesError(
            f"from {dates[0]} to {dates[-1]} there would be {rows:,.0f} rows, and the file has "
            f"{len(columns):,}: more than half would be interpolated",
            where=file,
            do="write the longest range without gaps to a separate file and use that file",
        )
    axis = pd.date_range(dates[0], dates[-1], freq=frequency)
    if len(axis) > len(columns) / (1 - MOST_MISSING):
        raise SeriesError(
            f"{len(axis) - len(columns):,} of {len(axis):,} time stamps are missing: "
            "more than half would be interpolated",
            where=file,
            do="write the longest range without gaps to a separate file and use that file",
        )
    complete = columns.reindex(axis)
    missing = complete.isna()
    worst = str(missing.sum().idxmax())
    if int(missing[worst].sum()) > MOST_MISSING * len(axis):
        raise SeriesError(
            f"{int(missing[worst].sum()):,} of {len(axis):,} values of channel `{shown(worst)}` are missing: "
            "more than half would be interpolated",
            where=f"{file}, column `{shown(worst)}`",
            do="remove the column, or use a time range in which it has values",
        )
    any_missing = missing.any(axis=1).to_numpy()
    if not any_missing.any():
        return complete, NO_SPANS
    log.warning(
        "%s: %s missing time stamps and %s rows with empty cells are interpolated in time%s; the first is %s",
        file,
        f"{len(axis) - len(columns):,}",
        f"{int(any_missing.sum()) - (len(axis) - len(columns)):,}",
        ", and windows that contain them are excluded" if gaps == "drop_windows" else "",
        axis[int(np.flatnonzero(any_missing)[0])],
    )
    spans = [(number, *span) for number, name in enumerate(missing) for span in stretches(missing[name].to_numpy())]
    complete = complete.interpolate(method="time", limit_direction="both").ffill().bfill()
    return complete, np.array(spans, dtype=np.int64)


def stretches(marked: np.ndarray) -> list[tuple[int, int]]:
    """First and last row of each run of True values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(first), int(last) - 1) for first, last in edges.reshape(-1, 2)]
