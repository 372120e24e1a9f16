"""Join panels of different series, which a large file is read into, part by part."""

import itertools
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.series.known import Known
from timellm_pipeline.series.mapped import Appended
from timellm_pipeline.series.panel import Panel


def join_panels(panels: Iterable[Panel], folder: Path | None) -> Panel:
    """One panel of the series of several panels, which have one frequency.

    Args:
        panels: panels of different series. Their values are not kept in memory.
        folder: folder for values that do not fit into memory; None: the system's folder for temporary files.

    Raises SeriesError if their time stamps are not on one grid.
    """
    remaining = iter(panels)
    begun = list(itertools.islice(remaining, 2))
    if len(begun) == 1:
        return begun[0]
    folder = folder or Path(tempfile.gettempdir())
    with Appended(np.float64, folder) as values, Appended(np.float32, folder) as known:
        parts, ends = [], [0]  # end of the rows of the known columns of each part
        while begun:
            panel = begun.pop(0)
            values.append(panel.values)
            if panel.known is not None:
                known.append(panel.known.values)
                ends.append(ends[-1] + len(panel.known.values))
                panel = replace(panel, known=replace(panel.known, values=np.zeros(0, dtype=np.float32)))
            parts.append(replace(panel, values=np.zeros(0)))  # a view would keep the values in memory
            begun += itertools.islice(remaining, 1)
        columns = len(parts[0].known.names) if parts[0].known else 1
        return _joined(parts, values.array(), known.array().reshape(-1, columns), ends, folder)


def _joined(parts: list[Panel], values: np.ndarray, known: np.ndarray, ends: list[int], folder: Path) -> Panel:
    """The panel of parts whose values are given."""
    first = parts[0]
    start = min(part.start for part in parts)
    grid = pd.date_range(start, max(part.start for part in parts), freq=first.frequency)
    moved = [_position(grid, part) for part in parts]
    series = np.cumsum([0, *(part.num_series for part in parts)])
    points = np.cumsum([0, *(part.offsets[-1] for part in parts)])
    spans = [part.filled + np.array([number, 0, 0]) for part, number in zip(parts, series)]
    return replace(
        first,
        ids=tuple(name for part in parts for name in part.ids),
        values=values,
        offsets=np.concatenate([[0], *(part.offsets[1:] + begin for part, begin in zip(parts, points))]),
        first=np.concatenate([part.first + by for part, by in zip(parts, moved)]),
        start=start,
        filled=np.concatenate(spans),
        known=_join_known([part.known for part in parts if part.known is not None], known, ends),
        facts=tuple(fact for part in parts for fact in part.facts),
        folder=folder if isinstance(values, np.memmap) else None,
    )


def _position(grid: pd.DatetimeIndex, part: Panel) -> int:
    position = int(grid.get_indexer(pd.DatetimeIndex([part.start]))[0])
    if position < 0:
        raise SeriesError(
            f"{part.start} is not on the grid of {part.frequency} steps from {grid[0]}",
            where=f"{part.source.path}, series `{part.ids[int(part.first.argmin())]}`",
            do="write all series at the same frequency, or put series of another frequency into another file",
        )
    return position


def _join_known(parts: list[Known], values: np.ndarray, ends: list[int]) -> Known | None:
    if not parts:
        return None
    return replace(
        parts[0],
        values=values,
        start=np.concatenate([part.start + end for part, end in zip(parts, ends)]),
        length=np.concatenate([part.length for part in parts]),
    )
