"""The window index: start rows of windows as arithmetic sequences, and batches of windows by one gather.

A window is one series from one start row. The windows of a series between two gaps start `step` rows apart, so one
segment (series, first start, count, step) describes all of them: an index of ten million windows takes kilobytes.
Training shuffles window numbers, never patches. A batch is one fancy index into the values, without a Python loop.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int
from pydantic import BaseModel, ConfigDict

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES, Borders
from timellm_pipeline.series.frequency import seasons_of
from timellm_pipeline.series.names import list_names
from timellm_pipeline.series.panel import NO_SPANS, Panel
from timellm_pipeline.series.steps import derive_step, limits_of


def used_channels(channels: list[str], window: WindowParams) -> list[str]:
    """Channels that the model is trained on: the target for `S`, all channels for `M` and `MS`."""
    return [window.target] if window.features == "S" else channels


def forecast_channels(channels: list[str], window: WindowParams) -> list[str]:
    """Channels that are validated, tested and forecast: all channels for `M`, the target for `S` and `MS`."""
    return channels if window.features == "M" else [window.target]


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
    length = window.seq_len + window.pred_len
    found = []
    for number in numbers:
        begin = int(panel.first[number])
        first, last = max(rows[0] - begin, 0), min(rows[1] - begin, int(panel.lengths[number]))
        windows = max((last - first - length) // step + 1, 0)
        spans = panel.filled_spans(number) if panel.drop_filled else NO_SPANS[:, 1:]
        for low, high in _between(spans, first, windows, step, length):
            found.append((number, first + low * step, high - low, step))
    columns = np.array(found, dtype=np.int64).reshape(-1, 4).T
    return Segments(*columns)


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


class IndexFacts(BaseModel):
    """Parameters that a window index was built with.

    Attributes:
        data_id: id of the data preparation.
        seq_len, pred_len, features, target: parameters of the group `window`.
        window_step, validation_step, test_step: rows between the starts of neighbouring windows of each split, as
            given or derived.
        derived_steps: names of the steps that were derived.
        split: parameters of the split.
    """

    model_config = ConfigDict(frozen=True)

    data_id: str
    seq_len: int
    pred_len: int
    features: str
    target: str
    window_step: int
    validation_step: int
    test_step: int
    derived_steps: tuple[str, ...] = ()
    split: SplitParams

    def with_parameters(self, split: SplitParams, window: WindowParams, evaluation: EvaluationParams) -> "IndexFacts":
        """Facts of an index that is built with these parameters. Steps that they leave open stay as they are."""
        names = set(type(self).model_fields)
        values = window.model_dump(include=names) | evaluation.model_dump(include=names)
        given = {name: value for name, value in values.items() if value is not None}
        return self.model_copy(update={"split": split, "derived_steps": derived_steps(window, evaluation), **given})


def derived_steps(window: WindowParams, evaluation: EvaluationParams) -> tuple[str, ...]:
    """Names of the steps between windows that the parameters leave open."""
    steps = {
        "window_step": window.window_step,
        "validation_step": evaluation.validation_step,
        "test_step": evaluation.test_step,
    }
    return tuple(name for name, step in steps.items() if step is None)


@dataclass(frozen=True, eq=False)
class WindowIndex:
    """The training, validation and test windows.

    Attributes:
        ids: id of each series.
        splits: segments by name of the split, in the order of `RANGES`.
        facts: parameters that the index was built with.
    """

    ids: tuple[str, ...]
    splits: dict[str, Segments]
    facts: IndexFacts

    def counts(self) -> dict[str, int]:
        """Number of windows of each split."""
        return {name: len(segments) for name, segments in self.splits.items()}


def build_window_index(
    panel: Panel, borders: Borders, split: SplitParams, window: WindowParams, evaluation: EvaluationParams, data_id: str
) -> WindowIndex:
    """Index of every training window (all series) and every validation and test window (the forecast channels).

    Steps that the parameters leave open are derived from the number of windows (series/steps.py). Windows are ordered
    by series, then by time. Raises SeriesError if every window of a channel in a split contains a gap: the errors would
    not cover this channel.
    """
    parameters = (window.window_step, evaluation.validation_step, evaluation.test_step)
    tested = [panel.number_of[name] for name in forecast_channels(list(panel.ids), window)]
    limits = limits_of(window.seq_len, window.pred_len)
    seasons = {*seasons_of(panel.frequency), evaluation.season or 1}
    splits, steps = {}, {}
    for name, given in zip(RANGES, parameters, strict=True):
        numbers = list(range(panel.num_series)) if name == "train" else tested
        rows = getattr(borders, name)
        steps[name] = given or derive_step(len(segments_of(panel, numbers, rows, 1, window)), limits[name], seasons)
        splits[name] = segments_of(panel, numbers, rows, steps[name], window)
        without = [panel.ids[number] for number in np.setdiff1d(numbers, splits[name].series)]
        if without:
            raise SeriesError(
                f"every {name} window of the channels {list_names(without)} contains a gap",
                where="data.gaps",
                do="set data.gaps to interpolate, lower window.seq_len, or remove these channels",
            )
    facts = IndexFacts(
        data_id=data_id,
        seq_len=window.seq_len,
        pred_len=window.pred_len,
        features=window.features,
        target=window.target,
        window_step=steps["train"],
        validation_step=steps["validation"],
        test_step=steps["test"],
        derived_steps=derived_steps(window, evaluation),
        split=split,
    )
    return WindowIndex(panel.ids, splits, facts)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over the values of a panel.

    Attributes:
        panel: series that the windows are cut from.
        segments: start rows of the windows.
        seq_len: input points of a window (lookback).
        pred_len: points after them (horizon).
    """

    panel: Panel
    segments: Segments
    seq_len: int
    pred_len: int

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def names(self) -> tuple[str, ...]:
        """Id of each series."""
        return self.panel.ids

    def channel(self, which: Int[np.ndarray, "batch"]) -> Int[np.ndarray, "batch"]:
        """Series index of each window."""
        return self.segments.locate(which)[0]

    def origin(self, which: Int[np.ndarray, "batch"]) -> Int[np.ndarray, "batch"]:
        """Grid position of the last input row of each window."""
        series, start = self.segments.locate(which)
        return self.panel.first[series] + start + self.seq_len - 1

    def origins(self) -> Int[np.ndarray, "origins"]:
        """Unique grid positions of all origins, sorted."""
        segments = self.segments
        firsts = self.panel.first[segments.series] + segments.first
        # Most series have the same sequence.
        sequences = {*zip(firsts.tolist(), segments.count.tolist(), segments.step.tolist())}
        starts = [first + step * np.arange(count) for first, count, step in sequences]
        return np.unique(np.concatenate(starts)) + self.seq_len - 1

    def of_series(self, numbers: list[int]) -> "Windows":
        """The windows of some series, which are numbered anew."""
        one = self.segments
        kept = np.isin(one.series, numbers)
        segments = Segments(one.series[kept], one.first[kept], one.count[kept], one.step[kept])
        return Windows(self.panel, segments, self.seq_len, self.pred_len)

    @property
    def num_horizons(self) -> int:
        """Length of the range of origins in horizons, rounded down: about the number of independent errors."""
        return len(self.origins()) // self.origins_per_horizon

    @property
    def origins_per_horizon(self) -> int:
        """Origins within one horizon, rounded up: errors of nearer origins share rows."""
        return -(-self.pred_len // int(self.segments.step[0]))

    def gather(
        self, which: Int[np.ndarray, "batch"]
    ) -> tuple[Float32[np.ndarray, "batch seq_len"], Float32[np.ndarray, "batch pred_len"]]:
        """Inputs and targets of the windows with the given numbers, in the units of the panel."""
        series, start = self.segments.locate(which)
        rows = (self.panel.offsets[series] + start)[:, None] + np.arange(self.seq_len + self.pred_len)
        points = self.panel.values[rows]
        return points[:, : self.seq_len], points[:, self.seq_len :]


def windows_between(panel: Panel, starts: tuple[int, int], step: int, window: WindowParams) -> Windows:
    """Windows of all series whose start lies in a half-open range, `step` rows apart."""
    rows = (starts[0], starts[1] - 1 + window.seq_len + window.pred_len)
    segments = segments_of(panel, list(range(panel.num_series)), rows, step, window)
    return Windows(panel, segments, window.seq_len, window.pred_len)
