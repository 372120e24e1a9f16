"""Fit the effects of known columns.

With a linear map L of windows, y = L(x) + (Z_future - L(Z_past)) b + error: L changes an effect of a column as it
changes the column. So b is a regression of the errors of a plain ridge on the errors of the columns, which ignores
their levels and everything that L explains.

Series have one vector b, or deviations from it, shrunk like the ridge's. Validation decides, also between known columns
and none.
"""

import functools
import logging
import operator
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
    """The effects of the known columns; None if there are none, or if they make validation worse.

    Args:
        task: what to fit on.
        ridge: a plain ridge that was fitted on the same task.
        folds: blocks of training windows; the coefficients are also fitted without each.
    """
    known = task.scaled.known
    if known is None:
        return None
    window, (first, last) = task.window, task.rows
    starts = first, max(last - window.seq_len - window.pred_len + 1, first + 1)
    step = max(1, -(-(starts[1] - starts[0]) * task.scaled.num_series // MOST_WINDOWS))
    train = windows_between(task.scaled, starts, step, window)
    center, scale = _center_and_scale(train)
    pieces = [_sums(windows_between(task.scaled, piece, step, window), ridge).scaled(scale) for piece in folds.pieces()]
    every = functools.reduce(operator.add, pieces)
    validated = _sums(task.validation, ridge).scaled(scale)
    penalties = (None, *(DEVIATION_PENALTIES if task.scaled.num_series > 1 else ()))
    fitted = {penalty: every.fit(penalty) for penalty in penalties}
    errors = {penalty: validated.mse(found[1:] if len(found) > 1 else found) for penalty, found in fitted.items()}
    best = min(errors, key=lambda penalty: errors[penalty])
    without = validated.mse(np.zeros((1, len(known.names))))
    log.info(
        "known columns %s: effects of %s; validation MSE of a ridge %.4f, without them %.4f; effect of a deviation: %s",
        ", ".join(known.names),
        "all series together" if best is None else f"each series (penalty {best:g})",
        errors[best],
        without,
        ", ".join(f"{name} {effect:+.3g}" for name, effect in zip(known.names, fitted[best][0])),
    )
    if errors[best] >= without:
        log.warning("the known columns are not used: they make the validation forecasts of a ridge worse")
        return None
    held = [
        [piece for piece, (start, _) in zip(pieces, folds.pieces()) if not folds.excludes(fold, start)]
        for fold in range(len(folds))
    ]
    of_folds = [functools.reduce(operator.add, kept).fit(best) for kept in held]
    fold_coefficients = np.stack(of_folds) if of_folds else np.zeros((0, *fitted[best].shape))
    ids = task.scaled.ids if best is not None else ()
    return KnownEffects(known.names, ids, center, scale, fitted[best], fold_coefficients)


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
