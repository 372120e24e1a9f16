"""Linear maps from a centred window to the centred horizon, from rules or from second moments.

    forecast = mean(x) + (x - mean(x)) @ W        W [seq_len, pred_len]

Naive and seasonal naive have this form too, so they are candidates beside the ridge regressions.

The structured ridge shrinks old inputs more than new ones, and inputs that are not a whole number of seasons before
their target more than those that are. Input lag j = seq_len..1 (1 is the newest), horizon step h = 0..pred_len-1,
season s, circular distance d of j + h to a multiple of s:

    penalty of W[j, h] = j / 64 * (1 + 30 * mean over seasons of (1 - exp(-d² / 8)))

Steps with the same penalties share one Cholesky factor. docs/experiments.md has the measurements.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from timellm_pipeline.linear.candidates import Candidate, Center
from timellm_pipeline.linear.moments import Moments

AGE, BUMP, WIDTH = 64.0, 30.0, 2.0
ROUNDS = 3  # alternating exact solves of the shared map and the deviations
SMALLEST = 1e-12  # of a mean square: the penalty of constant series is not zero, so that the matrix is invertible

Maps = Float[Tensor, "series seq_len pred_len"]  # one map if `series` is 1


def center_map(center: Center, seq_len: int, pred_len: int, season: int) -> Maps:
    """The map that forecasts the mean of the window, its last value, or its last season.

    A season longer than the window gives its last value.
    """
    matrix = torch.zeros(1, seq_len, pred_len, dtype=torch.float64)
    if center != "mean":
        length = season if center == "seasonal_naive" and season <= seq_len else 1
        steps = torch.arange(pred_len)
        matrix[0, seq_len - length + steps % length, steps] = 1
    return matrix


def fit_maps(moments: Moments, candidate: Candidate, centers: Sequence[Maps]) -> list[Maps]:
    """The maps of a candidate, one around each center.

    The centers share the factors: they are only further right-hand sides.

    Args:
        moments: second moments of the training windows, by series for `per_series`.
        candidate: how to fit; its own center is not used.
        centers: the maps that the penalty shrinks to (`center_map`).
    """
    if candidate.kind == "rule":
        return list(centers)
    if candidate.kind == "per_series":
        return [center + _fit_per_series(moments.around(center), candidate) for center in centers]
    gram, product = moments.xx.sum(dim=0), moments.xy.sum(dim=0)
    scale = candidate.penalty * _mean_square(gram)
    targets = torch.stack([product - gram @ center[0] for center in centers], dim=2)  # (seq_len, pred_len, centers)
    solved = torch.empty_like(targets)
    if candidate.kind == "plain":
        groups = [(torch.ones(len(gram), dtype=torch.float64), torch.arange(product.shape[1]))]
    else:
        groups = list(_steps_by_penalty(len(product), product.shape[1], candidate.seasons))
    for penalties, steps in groups:
        columns = targets[:, steps].flatten(1)
        solution = torch.cholesky_solve(columns, _factor(gram, scale * penalties))
        solved[:, steps] = solution.unflatten(1, (len(steps), len(centers)))
    return [center + solved[None, :, :, number] for number, center in enumerate(centers)]


def _fit_per_series(moments: Moments, candidate: Candidate) -> Maps:
    """Structured ridge with a deviation D_c of each series c from the shared map W.

    Minimises sum_c |Y_c - X_c (W + D_c)|² + penalty q W'PW + (deviation_penalty q / C) sum_c D_c'PD_c by alternating
    exact solves; q is the mean square of the inputs and C the number of series.
    """
    grams, products = moments.xx, moments.xy
    gram, product = grams.sum(dim=0), products.sum(dim=0)
    square, matrices = _mean_square(gram), torch.empty_like(products)
    for penalties, steps in _steps_by_penalty(len(product), product.shape[1], candidate.seasons):
        shared_factor = _factor(gram, candidate.penalty * square * penalties)
        factors = _factor(grams, candidate.deviation_penalty * square / len(grams) * penalties)
        shared = torch.cholesky_solve(product[:, steps], shared_factor)
        for _ in range(ROUNDS):
            deviations = torch.cholesky_solve(products[:, :, steps] - grams @ shared, factors)
            explained = (grams @ deviations).sum(dim=0)
            shared = torch.cholesky_solve(product[:, steps] - explained, shared_factor)
        matrices[:, :, steps] = shared + deviations
    return matrices


def penalties_of(seq_len: int, step: int, seasons: Sequence[int]) -> Float[np.ndarray, "seq_len"]:
    """Structured penalties of all inputs for one horizon step, oldest input first."""
    lag = np.arange(seq_len, 0, -1)
    away = np.zeros(seq_len)
    for season in seasons:
        rest = (lag + step) % season
        distance = np.minimum(rest, season - rest)
        away += (1 - np.exp(-(distance**2) / (2 * WIDTH**2))) / len(seasons)
    return lag / AGE * (1 + BUMP * away)


def _steps_by_penalty(
    seq_len: int, pred_len: int, seasons: Sequence[int]
) -> Iterator[tuple[Float[Tensor, "seq_len"], Int[Tensor, "steps"]]]:
    """Penalties, and the horizon steps that have them."""
    phases = np.array([[step % season for season in seasons] for step in range(pred_len)]).reshape(pred_len, -1)
    for phase in np.unique(phases, axis=0):
        steps = np.flatnonzero((phases == phase).all(axis=1))
        yield torch.from_numpy(penalties_of(seq_len, int(steps[0]), seasons)), torch.from_numpy(steps)


def _mean_square(gram: Tensor) -> float:
    return max(float(gram.diagonal().mean()), SMALLEST)


def _factor(gram: Tensor, penalties: Tensor) -> Tensor:
    """Cholesky factor of gram + diag(penalties)."""
    return torch.linalg.cholesky(gram + torch.diag_embed(penalties))
