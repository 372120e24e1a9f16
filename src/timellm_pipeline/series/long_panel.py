"""Rows of a long table to a panel.

Every series has its own first and last row; missing rows between them are gaps. All series are on one time grid.
"""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.frequency import find_frequency
from timellm_pipeline.series.gaps import MOST_MISSING, stretches
from timellm_pipeline.series.known import known_on_grid, report_future
from timellm_pipeline.series.long_rows import (
    LongRows,
    refuse_infinite,
    refuse_repeated,
    refuse_unknown,
    runs,
    until_the_last_value,
    with_values,
)
from timellm_pipeline.series.panel import NO_SPANS, Panel, Source

log = logging.getLogger(__name__)

ONE_FREQUENCY = "write all series at the same frequency, or put series of another frequency into another file"
MOST_LISTED = 5
MOST_GRID = 50_000_000  # steps of the time grid
CHUNK = 1 << 20  # rows that are converted at a time: bounds memory


def panel_of_rows(
    rows: LongRows, data: DataParams, source: Source, frequency: str | None = None, known: Sequence[str] = ()
) -> Panel:
    """The panel of the rows of a long table.

    Args:
        rows: all rows of some series.
        frequency: that of other series of the same file; None: that of the longest series.
        known: names of the known columns.

    Raises SeriesError for a repeated time stamp, for a missing row or value (unless `data.gaps` fills it), and if the
    time stamps are not on one grid. The message names series and time stamp.
    """
    file = source.path
    rows = rows.sorted(file)
    if known:
        rows = with_values(rows, file)
    refuse_infinite(rows, file)
    refuse_repeated(rows, file)
    starts, ends = runs(rows)
    grid, frequency = _grid_of(rows, starts, ends, data, file, frequency)
    position = _positions(rows, grid, file)
    every, position_of_every = rows, position
    if known:
        kept = until_the_last_value(rows, starts)
        refuse_unknown(rows, kept, known, file)
        report_future(len(rows.series) - len(kept), len(kept), file)
        rows, position = rows.take(kept), position[kept]
        starts, ends = runs(rows)
    first, last = position[starts].astype(np.int64), position[ends - 1].astype(np.int64)
    lengths = last - first + 1
    if (lengths != ends - starts).any():
        _refuse_other_frequency(rows, position, starts, frequency, file)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if (lengths == ends - starts).all() and np.isfinite(rows.values).all():
        values, filled = rows.values, NO_SPANS
    else:
        if data.gaps == "error":
            raise _gap_error(rows, position, grid, file)
        place = position - np.repeat(first - offsets[:-1], ends - starts)
        values = np.full(int(offsets[-1]), np.nan)
        values[place] = rows.values
        values, filled = _fill(values, offsets, first, grid, rows.ids, data, file)
    return Panel(
        ids=rows.ids,
        values=values,
        offsets=offsets,
        first=first,
        start=grid[0],
        frequency=frequency,
        zone=rows.zone,
        filled=filled,
        drop_filled=data.gaps == "drop_windows",
        source=source,
        known=known_on_grid(known, every.known, every.series, position_of_every - first[every.series], lengths)
        if known
        else None,
        facts=rows.facts,
    )


def _grid_of(
    rows: LongRows, starts: np.ndarray, ends: np.ndarray, data: DataParams, file: str, frequency: str | None
) -> tuple[pd.DatetimeIndex, str]:
    """The time grid from the first to the last row of any series, and its frequency, that of the longest series."""
    longest = int((ends - starts).argmax())
    dates = pd.Series(rows.stamps[starts[longest] : ends[longest]])
    place = f"{file}, series `{shown(rows.ids[longest])}`, the longest of {len(rows.ids):,}"
    if frequency is None:
        try:
            frequency = find_frequency(dates, data.model_copy(update={"gaps": "interpolate"}), file)
        except SeriesError as error:
            raise SeriesError(error.what, where=place, do=error.do) from error
    low, high = pd.Timestamp(rows.stamps.min()), pd.Timestamp(rows.stamps.max())
    two = pd.date_range(low, periods=2, freq=frequency)
    steps = (high - low) / (two[1] - two[0])
    if steps > MOST_GRID:  # checked before the grid is built: one wrong year may span centuries in seconds
        raise SeriesError(
            f"from {rows.describe(int(rows.stamps.argmin()))} to {rows.describe(int(rows.stamps.argmax()))} there are "
            f"{steps:,.0f} steps; at most {MOST_GRID:,} can be used",
            where=file,
            do="correct the first or the last time stamp",
        )
    return pd.date_range(low, high, freq=frequency), frequency


def _positions(rows: LongRows, grid: pd.DatetimeIndex, file: str) -> Int[np.ndarray, "rows"]:
    """Grid position of each row. Raises SeriesError for a time stamp that is not on the grid."""
    stamps, found = grid.to_numpy().astype(rows.stamps.dtype), np.empty(len(rows.stamps), dtype=np.int32)
    for first in range(0, len(found), CHUNK):
        chunk = rows.stamps[first : first + CHUNK]
        position = np.minimum(np.searchsorted(stamps, chunk), len(stamps) - 1)
        off = np.flatnonzero(stamps[position] != chunk)
        if len(off):
            raise SeriesError(
                f"the time stamp of {rows.describe(first + int(off[0]))} is not on the grid of {grid.freqstr} steps "
                f"from {grid[0]}",
                where=file,
                do=ONE_FREQUENCY,
            )
        found[first : first + CHUNK] = position
    return found


def _refuse_other_frequency(
    rows: LongRows, position: np.ndarray, starts: np.ndarray, frequency: str, file: str
) -> None:
    """Raise SeriesError for a series of three or more rows without two neighbours on the grid."""
    step = np.diff(position, append=np.int32(0))
    step[np.append(starts[1:], len(position)) - 1] = np.iinfo(np.int32).max  # after the last row of a series
    closest = np.minimum.reduceat(step, starts)
    other = np.flatnonzero((closest > 1) & (np.diff(starts, append=len(position)) > 2))
    if len(other):
        number = int(other[0])
        raise SeriesError(
            f"rows of `{shown(rows.ids[number])}` are {closest[number]:,} or more steps of {frequency} apart; there "
            f"are {len(other):,} such series of {len(rows.ids):,}",
            where=file,
            do=ONE_FREQUENCY,
        )


def _gap_error(rows: LongRows, position: np.ndarray, grid: pd.DatetimeIndex, file: str) -> SeriesError:
    """The error for the first missing row or value."""
    step = np.where(np.diff(rows.series) == 0, np.diff(position), 1)
    after, empty = np.flatnonzero(step > 1), np.flatnonzero(~np.isfinite(rows.values))
    if len(empty) and (not len(after) or empty[0] <= after[0]):
        what = f"the value of {rows.describe(int(empty[0]))} is missing; there are {len(empty):,} missing values"
    else:
        row = int(after[0])
        missing = f"`{shown(rows.ids[int(rows.series[row])])}` has no row at {grid[position[row] + 1]}"
        touched = len(np.unique(rows.series[after]))
        what = f"{missing}; {int((step - 1).sum()):,} rows of {touched:,} series are missing"
    return SeriesError(what, where=file, do="fill them in, or set data.gaps to interpolate or drop_windows")


def _fill(
    values: Float[np.ndarray, "points"],
    offsets: Int[np.ndarray, "series+1"],
    first: Int[np.ndarray, "series"],
    grid: pd.DatetimeIndex,
    ids: tuple[str, ...],
    data: DataParams,
    file: str,
) -> tuple[Float[np.ndarray, "points"], Int[np.ndarray, "spans 3"]]:
    """Values interpolated in time within each series, and the filled spans: series, first row, last row."""
    missing = ~np.isfinite(values)
    of_series = np.add.reduceat(missing, offsets[:-1], dtype=np.int64)
    lengths = np.diff(offsets)
    worst = int((of_series / lengths).argmax())
    if of_series[worst] > MOST_MISSING * lengths[worst]:
        raise SeriesError(
            f"{of_series[worst]:,} of {lengths[worst]:,} values of `{shown(ids[worst])}` are missing: more than half "
            "would be interpolated",
            where=file,
            do="remove the series, or use a time range in which it has values",
        )
    touched = np.flatnonzero(of_series)
    nanoseconds = grid.asi8
    spans = []
    for number in touched:  # only series with gaps
        part = slice(offsets[number], offsets[number + 1])
        gone, time = missing[part], nanoseconds[first[number] : first[number] + lengths[number]]
        values[part][gone] = np.interp(time[gone], time[~gone], values[part][~gone])
        spans += [(number, *span) for span in stretches(gone)]
    listed = ", ".join(f"`{shown(ids[number])}`" for number in touched[:MOST_LISTED])
    log.warning(
        "%s: %s missing values of %s series are interpolated in time%s, for example of %s",
        file,
        f"{int(of_series.sum()):,}",
        f"{len(touched):,}",
        ", and windows that contain them are excluded" if data.gaps == "drop_windows" else "",
        listed,
    )
    return values, np.array(spans, dtype=np.int64)
