"""Baselines that Time-LLM is compared with: naive, seasonal naive, and a linear forecast in closed form."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.series.windows import Windows

PENALTIES = (
    1e-6,
    1e-5,
    1e-4,
    1e-3,
    1e-2,
)  # multiples of the mean square of the inputs; chosen on the validation windows
CHUNK = 4096

Forecast = Callable[[np.ndarray], np.ndarray]  # windows [batch, seq_len] to [batch, pred_len]


def naive(x: Float[np.ndarray, "batch seq_len"], pred_len: int) -> Float[np.ndarray, "batch pred_len"]:
    """Naive forecast: the last value, repeated."""
    return np.repeat(x[:, -1:], pred_len, axis=1)


def seasonal_naive(
    x: Float[np.ndarray, "batch seq_len"], pred_len: int, season: int
) -> Float[np.ndarray, "batch pred_len"]:
    """Seasonal-naive forecast: the last season, repeated. A window shorter than a season repeats its last value.

    Args:
        x: windows.
        pred_len: rows to forecast.
        season: season length in rows.
    """
    if season > x.shape[1]:
        return naive(x, pred_len)
    steps = np.arange(pred_len) % season
    return x[:, x.shape[1] - season + steps]


@dataclass(frozen=True)
class LinearForecast:
    """A linear map from the centred window to the centred horizon, fitted by ridge regression in closed form.

    Attributes:
        matrix: [seq_len + 1, pred_len]; the last row is the intercept.
        penalty: ridge penalty as a multiple of the mean square of the inputs.

    Source: DLinear and RLinear (Zeng et al. 2023, Li et al. 2023), solved in closed form instead of trained.
    """

    matrix: Float[np.ndarray, "inputs pred_len"]
    penalty: float

    def __call__(self, x: Float[np.ndarray, "batch seq_len"]) -> Float[np.ndarray, "batch pred_len"]:
        """Forecasts in scaled units."""
        mean = x.mean(axis=1, keepdims=True)
        return _with_intercept(x - mean) @ self.matrix + mean


def fit_linear(train: Windows, validation: Windows) -> LinearForecast:
    """Ridge regression on the training windows, with the penalty that has the smallest MSE on validation windows."""
    size = train.seq_len + 1
    gram, product = np.zeros((size, size)), np.zeros((size, train.pred_len))
    for first in range(0, len(train), CHUNK):
        x, y = train.gather(np.arange(first, min(first + CHUNK, len(train))))
        mean = x.mean(axis=1, keepdims=True)
        inputs = _with_intercept(x.astype(np.float64) - mean)
        gram += inputs.T @ inputs
        product += inputs.T @ (y - mean)
    best: tuple[float, LinearForecast] | None = None
    mean_square = np.trace(gram) / size
    for penalty in PENALTIES:
        matrix = np.linalg.solve(gram + penalty * mean_square * np.eye(size), product)
        forecast = LinearForecast(matrix, penalty)
        error = score(forecast, validation).mse
        if best is None or error < best[0]:
            best = (error, forecast)
    assert best is not None
    return best[1]


def score(forecast: Forecast, windows: Windows) -> ErrorSums:
    """Error sums of a baseline over all windows, in scaled units."""
    sums = ErrorSums(len(windows.names), windows.pred_len)
    for first in range(0, len(windows), CHUNK):
        which = np.arange(first, min(first + CHUNK, len(windows)))
        x, y = windows.gather(which)
        sums.add(forecast(x), y, windows.channel(which))
    return sums


def _with_intercept(x: Float[np.ndarray, "batch seq_len"]) -> Float[np.ndarray, "batch inputs"]:
    return np.concatenate([x, np.ones((len(x), 1), dtype=x.dtype)], axis=1)
