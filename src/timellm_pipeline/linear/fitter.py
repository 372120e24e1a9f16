"""Fit candidates of the linear part on every training window and without each fold, and compute their errors.

Windows are read once, into second moments; each candidate needs the moments only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from timellm_pipeline.linear.candidates import Candidate, Center
from timellm_pipeline.linear.effects import KnownEffects
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.linear.maps import Maps, center_map, fit_maps
from timellm_pipeline.linear.moments import Moments, centred, centred_together, inverse_deviation
from timellm_pipeline.linear.threads import Threads
from timellm_pipeline.parameters import WindowParams
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import WindowData
from timellm_pipeline.series.windows import Windows, windows_between

CALLER = Threads()
FEWEST_HORIZONS = 16  # as evaluation/significance.py: errors over a shorter range decide nothing
MOST_WINDOWS = 20_000_000  # limit of training windows: more are evenly subsampled

MapsOf = Callable[[int | None], Maps]  # maps that were fitted without a fold; None: on all training windows


@dataclass(frozen=True)
class Task:
    """Everything that a linear forecast is fitted on.

    Attributes:
        scaled: series in scaled units.
        rows: half-open range of the training rows.
        window: `seq_len` and `pred_len`.
        validation: validation windows.
        season: season length in rows of seasonal naive.
    """

    scaled: Panel
    rows: tuple[int, int]
    window: WindowParams
    validation: Windows
    season: int

    @classmethod
    def of(cls, data: WindowData, window: WindowParams, season: int | None) -> "Task":
        """The training and validation windows of prepared data.

        Args:
            data: scaled series, scaler and window index.
            window: `seq_len` and `pred_len`.
            season: `evaluation.season`; None: from the frequency.
        """
        season = season or season_length(data.scaled.frequency)
        return cls(data.scaled, data.scaler.rows, window, data.windows("validation"), season)

    def without(self, effects: KnownEffects | None) -> "Task":
        """The task for the remainders of the series, without the effects of known columns."""
        if effects is None:
            return self
        remainder = effects.removed(self.scaled)
        return replace(self, scaled=remainder, validation=replace(self.validation, panel=remainder))


@dataclass(frozen=True)
class _Sums:
    """Moments of the training windows: of all of them, then without each fold. `held` contains those of each fold."""

    plain: list[Moments]
    weighted: list[Moments]
    by_series: list[Moments]
    held: list[Moments]


class Fitter:
    """Fits candidates on all training windows and without each fold, and computes their errors.

    Args:
        task: what to fit on.
        folds: blocks of the cross-validation.
        per_series: whether moments of single series are kept.
        threads: threads that compute.
    """

    def __init__(self, task: Task, folds: Folds, per_series: bool, threads: Threads = CALLER) -> None:
        self.task, self.folds, self.threads = task, folds, threads
        self._sums = _sums(task, folds, per_series, threads)
        self.validation = Moments.of(task.validation, task.scaled.num_series if per_series else 1)
        self.num_windows = int(self._sums.plain[0].num_windows.sum())

    @property
    def validation_decides(self) -> bool:
        """Whether validation is long enough to decide between forecasts alone."""
        return self.task.validation.num_horizons >= FEWEST_HORIZONS

    def deciding_mse(self, maps_of: MapsOf) -> float:
        """MSE of forecasts on the windows that decide between them: the validation windows.

        If these are too few (`validation_decides`), each block of training windows decides too, with a map that was
        fitted without it.

        Args:
            maps_of: maps for a fold; None: those that are fitted on all training windows.
        """
        sets: list[tuple[int | None, Moments]] = [(None, self.validation)]
        if not self.validation_decides:
            sets += enumerate(self._sums.held)
        errors = [moments.mse(maps_of(fold)) for fold, moments in sets]
        return float(np.average(errors, weights=[float(moments.num_windows.sum()) for _, moments in sets]))

    def maps(self, candidate: Candidate, fold: int | None = None) -> Maps:
        """Maps of a candidate, fitted on all training windows, or without one fold."""
        return self._family(candidate, (candidate.center,), fold)[0]

    def errors(self, candidate: Candidate, centers: Sequence[Center] = ("mean",)) -> dict[Candidate, np.ndarray]:
        """MSEs of a candidate around each center: on each fold, fitted without it, and last on validation."""
        sets: list[tuple[int | None, Moments]] = [*enumerate(self._sums.held), (None, self.validation)]
        by_set = list(
            self.threads.map(lambda one: [one[1].mse(maps) for maps in self._family(candidate, centers, one[0])], sets)
        )
        found = (candidate.model_copy(update={"center": center}) for center in centers)
        return dict(zip(found, np.array(by_set).T))

    def _family(self, candidate: Candidate, centers: Sequence[Center], fold: int | None) -> list[Maps]:
        kinds = {"structured": self._sums.weighted, "per_series": self._sums.by_series}
        moments = kinds.get(candidate.kind, self._sums.plain)[0 if fold is None else fold + 1]
        window, season = self.task.window, self.task.season
        maps = [center_map(center, window.seq_len, window.pred_len, season) for center in centers]
        return fit_maps(moments, candidate, maps)


def _sums(task: Task, folds: Folds, per_series: bool, threads: Threads) -> _Sums:
    """Moments of the training windows, in one pass over them."""
    lengths = task.window.seq_len, task.window.pred_len
    groups = task.scaled.num_series if per_series else 1
    step = max(1, -(-(folds.bounds[-1] - folds.bounds[0]) * task.scaled.num_series // MOST_WINDOWS))
    fits = range(len(folds) + 1)
    plain, by_series = [Moments.zeros(1, *lengths) for _ in fits], [Moments.zeros(groups, *lengths) for _ in fits]
    held = [Moments.zeros(groups, *lengths) for _ in range(len(folds))]

    def moments_of(piece: tuple[int, int]) -> tuple[Moments, Moments]:
        windows, weighted = windows_between(task.scaled, piece, step, task.window), Moments.zeros(groups, *lengths)
        rows = centred(windows) if per_series else ((0, x, y) for x, y in centred_together(windows))
        for series, x, y in rows:
            weighted.add(series, x, y, inverse_deviation(x))
        return Moments.of(windows, groups), weighted

    # Threads take them in groups, which wait for their largest: pieces of a group should be equally large.
    pieces = sorted(folds.pieces(), key=lambda piece: piece[0] - piece[1])
    for (first, _), (unweighted, weighted) in zip(pieces, threads.map(moments_of, pieces)):
        for fit in fits:
            if fit == 0 or not folds.excludes(fit - 1, first):
                plain[fit] += unweighted.total()
                by_series[fit] += weighted
        for fold in range(len(folds)):
            if folds.holds(fold, first):
                held[fold] += unweighted
    return _Sums(plain, [moments.total() for moments in by_series], by_series, held)
