"""Fit the effects of known columns.

With a linear map L of windows, y = L(x) + (Z_future - L(Z_past)) b + error: L changes an effect of a column as it
changes the column. So b is a regression of the errors of a plain ridge on the errors of the columns, which ignores
their levels and everything that L explains.

Series have one vector b, or deviations from it, shrunk like the ridge's. Validation decides, also between known columns
and none.
"""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from timellm_pipeline.linear.effects import KnownEffects
from timellm_pipeline.linear.fitter import Task
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


def fit_effects(task: Task, ridge: LinearPart) -> KnownEffects | None:
    """The effects of the known columns; None if there are none, or if they make validation worse.

    Args:
        task: what to fit on.
        ridge: a plain ridge that was fitted on the same task.
    """
    known = task.scaled.known
    if known is None:
        return None
    window, (first, last) = task.window, task.rows
    starts = first, max(last - window.seq_len - window.pred_len + 1, first + 1)
    step = max(1, -(-(starts[1] - starts[0]) * task.scaled.num_series // MOST_WINDOWS))
    train = windows_between(task.scaled, starts, step, window)
    center, scale = _center_and_scale(train)
    fitted, validated = (_sums(windows, ridge).scaled(scale) for windows in (train, task.validation))
    gram, product = fitted.dd.sum(axis=0), fitted.dr.sum(axis=0)
    shared = np.linalg.solve(gram + _ridge(gram), product)
    candidates = {"no effect": np.zeros((1, len(shared))), "one effect for all series": shared[None]}
    if task.scaled.num_series > 1:
        residual, mean = fitted.dr - fitted.dd @ shared, fitted.dd.mean(axis=0)
        for penalty in DEVIATION_PENALTIES:
            grams = fitted.dd + penalty * mean + _ridge(mean)
            deviations = np.linalg.solve(grams, residual[..., None])[..., 0]
            candidates[f"effects of each series, penalty {penalty:g}"] = shared + deviations
    errors = {name: validated.mse(coefficients) for name, coefficients in candidates.items()}
    best = min(errors, key=lambda name: errors[name])
    log.info(
        "known columns %s: %s; validation MSE of a ridge %.4f, without them %.4f; effect of a deviation: %s",
        ", ".join(known.names),
        best,
        errors[best],
        errors["no effect"],
        ", ".join(f"{name} {effect:+.3g}" for name, effect in zip(known.names, shared)),
    )
    if best == "no effect":
        log.warning("the known columns are not used: they make the validation forecasts of a ridge worse")
        return None
    own = candidates[best] if len(candidates[best]) > 1 else candidates[best][:0]
    ids = task.scaled.ids if len(own) else ()
    return KnownEffects(known.names, ids, center, scale, np.concatenate([shared[None], own]))


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
    every = -(-len(windows) // MOST_WINDOWS)
    numbers = np.arange(0, len(windows), max(every, 1))
    sums: _Sums | None = None
    for begin in range(0, len(numbers), CHUNK):
        which = numbers[begin : begin + CHUNK]
        x, y = windows.gather(which)
        known = windows.known(which)
        assert known is not None
        values = known.values.astype(np.float64).transpose(0, 2, 1)  # (windows, columns, rows)
        columns = values.shape[1]
        past = ridge.forecast(values[:, :, :seq_len].reshape(-1, seq_len)).reshape(len(which), columns, -1)
        errors, residual = values[:, :, seq_len:] - past, y - ridge.forecast(x)
        if sums is None:
            sums = _Sums(np.zeros((num_series, columns, columns)), np.zeros((num_series, columns)), 0.0, 0)
        channel = windows.channel(which)
        np.add.at(sums.dd, channel, errors @ errors.transpose(0, 2, 1))
        np.add.at(sums.dr, channel, (errors @ residual[..., None])[..., 0])
        sums = _Sums(sums.dd, sums.dr, sums.rr + float((residual**2).sum()), sums.points + residual.size)
    assert sums is not None
    return sums
