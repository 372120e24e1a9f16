"""Baselines that Time-LLM is compared with: naive and seasonal naive. The third is `linear.fit.fit_ridge`."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.series.windows import Windows

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


def score(forecast: Forecast, windows: Windows) -> ErrorSums:
    """Error sums of a baseline over all windows, in scaled units."""
    sums = ErrorSums(len(windows.names), windows.pred_len)
    for first in range(0, len(windows), CHUNK):
        which = np.arange(first, min(first + CHUNK, len(windows)))
        x, y = windows.gather(which)
        sums.add(forecast(x), y, windows.channel(which))
    return sums
