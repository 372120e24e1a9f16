"""Segments: windows as arithmetic sequences (series, first start, count, step), one for each stretch without a gap."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from timellm_pipeline.parameters import WindowParams
from timellm_pipeline.series.panel import Panel


@dataclass(frozen=True, eq=False)
class Segments:
    """Windows as arithmetic sequences. Windows are numbered consecutively, segment after segment.

    Attributes:
        series: index of the series of each segment.
        first: start row of the first window of each segment, counted within its series.
        count: number of windows of each segment.
        step: rows between the starts of neighbouring windows.
    """

    series: Int[np.ndarray, "segments"]
    first: Int[np.ndarray, "segments"]
    count: Int[np.ndarray, "segments"]
    step: Int[np.ndarray, "segments"]

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def columns(self) -> tuple[Int[np.ndarray, "segments"], ...]:
        """All attributes, which define the windows."""
        return self.series, self.first, self.count, self.step

    @cached_property
    def _ends(self) -> Int[np.ndarray, "segments"]:
        return np.cumsum(self.count)

    def locate(self, which: Int[np.ndarray, "batch"]) -> tuple[Int[np.ndarray, "batch"], Int[np.ndarray, "batch"]]:
        """Series index and start row (within the series) of the windows with the given numbers."""
        segment = np.searchsorted(self._ends, which, side="right")
        position = which - (self._ends[segment] - self.count[segment])
        return self.series[segment], self.first[segment] + position * self.step[segment]

    def select(self, numbers: Sequence[int]) -> "Segments":
        """Segments of some series, which are numbered anew in the given order."""
        place = {number: new for new, number in enumerate(numbers)}
        series = np.array([place.get(number, -1) for number in self.series.tolist()], dtype=np.int64)
        order = np.argsort(series, kind="stable")
        kept = order[series[order] >= 0]
        return Segments(series[kept], self.first[kept], self.count[kept], self.step[kept])

    def numbers_of(self, series: int) -> Int[np.ndarray, "windows"]:
        """Numbers of all windows of one series, sorted by time."""
        ends = self._ends[self.series == series]
        counts = self.count[self.series == series]
        ranges = [np.arange(end - count, end) for end, count in zip(ends, counts)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *ranges])


def segments_of(panel: Panel, numbers: list[int], rows: tuple[int, int], step: int, window: WindowParams) -> Segments:
    """Segments of the windows of some series that lie completely inside a range of the grid, `step` rows apart.

    With `data.gaps: drop_windows`, windows that contain filled rows of their series are excluded.

    Args:
        numbers: indices of the series.
        rows: half-open range of grid positions.
        step: rows between the starts of neighbouring windows.
        window: `seq_len` and `pred_len`.
    """
    length, number = window.seq_len + window.pred_len, np.asarray(numbers, dtype=np.int64)
    begin = panel.first[number]
    first = np.maximum(rows[0] - begin, 0)
    count = np.maximum((np.minimum(rows[1] - begin, panel.lengths[number]) - first - length) // step + 1, 0)
    has_gaps = np.isin(number, panel.filled[:, 0]) if panel.drop_filled else np.zeros(len(number), dtype=bool)
    plain = np.flatnonzero((count > 0) & ~has_gaps)
    found = [np.stack([number[plain], first[plain], count[plain], np.full(len(plain), step)])]
    places = [plain]
    for place in np.flatnonzero(has_gaps):  # only these series have several segments
        spans = panel.filled_spans(int(number[place]))
        parts = _between(spans, int(first[place]), int(count[place]), step, length)
        rows_of_part = [(number[place], first[place] + low * step, high - low, step) for low, high in parts]
        found.append(np.array(rows_of_part, dtype=np.int64).reshape(-1, 4).T)
        places.append(np.full(len(parts), place))
    order = np.argsort(np.concatenate(places), kind="stable")
    return Segments(*np.concatenate(found, axis=1)[:, order])


def _between(
    spans: Int[np.ndarray, "spans 2"], first: int, windows: int, step: int, length: int
) -> list[tuple[int, int]]:
    """Half-open ranges of window numbers that overlap no span. Window k covers `length` rows from first + k * step."""
    ranges, free = [], 0
    for begin, end in spans.tolist():
        touched = max(-(-(begin - length + 1 - first) // step), 0)  # first window that overlaps the span
        if touched > free:
            ranges.append((free, min(touched, windows)))
        free = max(free, (end - first) // step + 1)  # first window that starts after the span
    if free < windows:
        ranges.append((free, windows))
    return [(low, high) for low, high in ranges if low < high]
