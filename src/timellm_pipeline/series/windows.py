"""The window index: start rows of windows as arithmetic sequences, and batches of windows by one gather.

A window is one series from one start row. The windows of a series between two gaps start `step` rows apart, so one
segment (series, first start, count, step) describes all of them: an index of ten million windows takes kilobytes.
Training shuffles window numbers, never patches. A batch is one fancy index into the values, without a Python loop.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int
from pydantic import BaseModel, ConfigDict

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES, Borders
from timellm_pipeline.series.frequency import seasons_of
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.names import list_names
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.segments import Segments, segments_of
from timellm_pipeline.series.steps import derive_step, limits_of

log = logging.getLogger(__name__)


def used_channels(channels: list[str], window: WindowParams) -> list[str]:
    """Channels that the model is trained on: the target for `S`, all channels for `M` and `MS`."""
    return [window.target] if window.features == "S" else channels


def forecast_channels(channels: list[str], window: WindowParams) -> list[str]:
    """Channels that are validated, tested and forecast: all channels for `M`, the target for `S` and `MS`."""
    return channels if window.features == "M" else [window.target]


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
        _refuse_or_report(panel, np.setdiff1d(numbers, splits[name].series), name, rows, window)
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


def _refuse_or_report(
    panel: Panel, without: Int[np.ndarray, "series"], split: str, rows: tuple[int, int], window: WindowParams
) -> None:
    """Report the series without a window in a split: they have too few rows there.

    Raises SeriesError if a gap excludes every window of a series, whose errors would then be missing, or if no series
    has a window.
    """
    if not len(without):
        return
    names = [panel.ids[number] for number in without]
    complete = segments_of(replace(panel, drop_filled=False), without.tolist(), rows, 1, window)
    if len(complete.series):
        gaps = [panel.ids[number] for number in np.unique(complete.series)]
        raise SeriesError(
            f"every {split} window of the channels {list_names(gaps)} contains a gap",
            where="data.gaps",
            do="set data.gaps to interpolate, lower window.seq_len, or remove these channels",
        )
    if len(without) == panel.num_series:
        raise SeriesError(
            f"no series has enough rows for a {split} window: {window.seq_len} + {window.pred_len} rows of one series",
            where=panel.source.path,
            do="lower window.seq_len or window.pred_len, change split, or give longer series",
        )
    log.warning(
        "%s of %s series have no %s window, because they have too few rows there: %s",
        f"{len(without):,}",
        f"{panel.num_series:,}",
        split,
        list_names(names),
    )


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

    def known(self, which: Int[np.ndarray, "batch"]) -> KnownValues | None:
        """Known columns in the rows of the windows; None without such columns."""
        if self.panel.known is None:
            return None
        series, start = self.segments.locate(which)
        return self.panel.known.gather(series, start, self.seq_len + self.pred_len)

    def facts(self, which: Int[np.ndarray, "batch"]) -> list[str]:
        """Text about the series of each window; empty without static columns."""
        return [self.panel.facts[number] for number in self.channel(which)] if self.panel.facts else []


def windows_between(panel: Panel, starts: tuple[int, int], step: int, window: WindowParams) -> Windows:
    """Windows of all series whose start lies in a half-open range, `step` rows apart."""
    rows = (starts[0], starts[1] - 1 + window.seq_len + window.pred_len)
    segments = segments_of(panel, list(range(panel.num_series)), rows, step, window)
    return Windows(panel, segments, window.seq_len, window.pred_len)
