"""Fit the effects of known columns.

With a linear map L of windows, y = L(x) + (Z_future - L(Z_past)) b + error: L changes an effect of a column as it
changes the column. So b is a regression of the errors of a plain ridge on the errors of the columns, which ignores
their levels and everything that L explains.

Series have one vector b, or deviations from it, shrunk like the ridge's. Validation and the blocks of training windows
decide, also between known columns and none.
"""

import functools
import logging
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from timellm_pipeline.linear.effects import KnownEffects
from timellm_pipeline.linear.fitter import Task
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.series.windows import Windows, windows_between

log = logging.getLogger(__name__)

MOST_WINDOWS = 200_000  # limit of the windows of each range: more are evenly subsampled
CHUNK = 4096
DEVIATION_PENALTIES = (10.0, 1.0, 0.1, 0.01)  # multiples of the mean moments of a series
SMALLEST = 1e-6  # of the moments: columns that are constant or equal get no coefficient, or share one


@dataclass(frozen=True)
class _Sums:
    """Sums over windows for each series: D'D, D'r, and r'r of all series, with D the errors of the columns."""

    dd: Float[np.ndarray, "series columns columns"]
    dr: Float[np.ndarray, "series columns"]
    rr: float
    points: int

    def mse(self, coefficients: Float[np.ndarray, "#series columns"]) -> float:
        """Mean squared error of the ridge with these effects."""
        products = -2 * (self.dr * coefficients).sum()
        squares = np.einsum("scd,sc,sd->", self.dd, *[np.broadcast_to(coefficients, self.dr.shape)] * 2)
        return float(self.rr + products + squares) / max(self.points, 1)

    def scaled(self, scale: Float[np.ndarray, "columns"]) -> "_Sums":
        """The sums of the columns divided by a scale."""
        return _Sums(self.dd / (scale[:, None] * scale), self.dr / scale, self.rr, self.points)

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(self.dd + other.dd, self.dr + other.dr, self.rr + other.rr, self.points + other.points)

    def fit(self, penalty: float | None) -> Float[np.ndarray, "1+some columns"]:
        """Coefficients of all series together, then of each series, if a penalty of its deviation is given."""
        gram, product = self.dd.sum(axis=0), self.dr.sum(axis=0)
        shared = np.linalg.solve(gram + _ridge(gram), product)
        if penalty is None:
            return shared[None]
        residual, mean = self.dr - self.dd @ shared, self.dd.mean(axis=0)
        grams = self.dd + penalty * mean + _ridge(mean)
        return np.concatenate([shared[None], shared + np.linalg.solve(grams, residual[..., None])[..., 0]])


def fit_effects(task: Task, ridge: LinearPart, folds: Folds) -> KnownEffects | None:
    """The effects of the known columns; None if they make forecasts worse.

    Args:
        task: what to fit on; its table has known columns.
        ridge: a plain ridge that was fitted on the same task.
        folds: blocks of training windows; the coefficients are also fitted without each.
    """
    known = task.scaled.known
    assert known is not None
    window, (first, last) = task.window, task.rows
    starts = first, max(last - window.seq_len - window.pred_len + 1, first + 1)
    step = max(1, -(-(starts[1] - starts[0]) * task.scaled.num_series // MOST_WINDOWS))
    train = windows_between(task.scaled, starts, step, window)
    center, scale = _center_and_scale(train)
    pieces = {
        one: _sums(windows_between(task.scaled, one, step, window), ridge).scaled(scale) for one in folds.pieces()
    }
    validation = _sums(task.validation, ridge).scaled(scale)
    every = functools.reduce(operator.add, pieces.values())
    # What each fit is judged by: validation, and each block of training windows by a fit without it.
    sets = [(every, validation)]
    for fold in range(len(folds)):
        kept = [sums for (start, _), sums in pieces.items() if not folds.excludes(fold, start)]
        held = [sums for (start, _), sums in pieces.items() if folds.holds(fold, start)]
        sets.append((functools.reduce(operator.add, kept), functools.reduce(operator.add, held)))
    penalties = (None, *(DEVIATION_PENALTIES if task.scaled.num_series > 1 else ()))
    errors = {penalty: _mean_error(sets, operator.methodcaller("fit", penalty)) for penalty in penalties}
    without = _mean_error(sets, lambda _: np.zeros((1, len(known.names))))
    best = min(errors, key=lambda penalty: errors[penalty])
    coefficients, *of_folds = (fitted.fit(best) for fitted, _ in sets)
    log.info(
        "known columns %s: effects of %s; MSE of a ridge on validation and blocks of training %.4f, without them %.4f; "
        "effect of a deviation: %s",
        ", ".join(known.names),
        "all series together" if best is None else f"each series (penalty {best:g})",
        errors[best],
        without,
        ", ".join(f"{name} {effect:+.3g}" for name, effect in zip(known.names, coefficients[0])),
    )
    if errors[best] >= without:
        log.warning("the known columns are not used: they make the forecasts of a ridge worse")
        return None
    fold_coefficients = np.stack(of_folds) if of_folds else np.zeros((0, *coefficients.shape))
    ids = task.scaled.ids if best is not None else ()
    return KnownEffects(known.names, ids, center, scale, coefficients, fold_coefficients)


def _mean_error(sets: Sequence[tuple[_Sums, _Sums]], coefficients_of: Callable[[_Sums], np.ndarray]) -> float:
    """Mean squared error over all windows that fits are judged by.

    Args:
        sets: windows of each fit, and windows that it is judged by.
        coefficients_of: coefficients from the windows of a fit, see `_Sums.fit`.
    """
    found = [(coefficients_of(fitted), judged) for fitted, judged in sets]
    squared = [judged.mse(own[1:] if len(own) > 1 else own) * judged.points for own, judged in found]
    return sum(squared) / max(sum(judged.points for _, judged in found), 1)


def _ridge(gram: Float[np.ndarray, "columns columns"]) -> Float[np.ndarray, "columns columns"]:
    return np.eye(len(gram)) * (SMALLEST * max(float(np.trace(gram)) / len(gram), SMALLEST))


def _center_and_scale(windows: Windows) -> tuple[Float[np.ndarray, "columns"], Float[np.ndarray, "columns"]]:
    """Mean and deviation of the known columns over training windows; the deviation of a constant is 1."""
    which = np.arange(0, len(windows), -(-len(windows) // CHUNK))
    known = windows.known(which)
    assert known is not None
    values = known.values.astype(np.float64).reshape(-1, len(known.names))
    scale = values.std(axis=0)
    return values.mean(axis=0), np.where(scale > 0, scale, 1.0)


def _sums(windows: Windows, ridge: LinearPart) -> _Sums:
    num_series, seq_len = len(windows.names), windows.seq_len
    known = windows.panel.known
    assert known is not None
    columns = len(known.names)
    sums = _Sums(np.zeros((num_series, columns, columns)), np.zeros((num_series, columns)), 0.0, 0)
    numbers = np.arange(0, len(windows), max(-(-len(windows) // MOST_WINDOWS), 1))
    for begin in range(0, len(numbers), CHUNK):
        which = numbers[begin : begin + CHUNK]
        x, y = windows.gather(which)
        of_windows = windows.known(which)
        assert of_windows is not None
        values = of_windows.values.astype(np.float64).transpose(0, 2, 1)  # (windows, columns, rows)
        past = ridge.forecast(values[:, :, :seq_len].reshape(-1, seq_len)).reshape(len(which), columns, -1)
        errors, residual = values[:, :, seq_len:] - past, y - ridge.forecast(x)
        channel = windows.channel(which)
        np.add.at(sums.dd, channel, errors @ errors.transpose(0, 2, 1))
        np.add.at(sums.dr, channel, (errors @ residual[..., None])[..., 0])
        sums = _Sums(sums.dd, sums.dr, sums.rr + float((residual**2).sum()), sums.points + residual.size)
    return sums
