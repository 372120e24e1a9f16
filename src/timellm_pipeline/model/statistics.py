"""Statistics of a window for the prompt: minimum, maximum, median, trend, and the lags with the strongest
autocorrelation.

They depend only on the window, bitwise, and not on its batch: otherwise the prompt, and with it the forecast, would
depend on the other windows of the batch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

Trend = Literal["upward", "downward", "flat"]
NUM_LAGS = 5
EPSILON = 1e-5  # of the published instance normalisation


@dataclass(frozen=True)
class WindowStatistics:
    """Statistics of one window."""

    minimum: float
    maximum: float
    median: float
    trend: Trend
    lags: list[int]


def window_statistics(
    windows: Float[np.ndarray, "batch seq_len"],
    statistics: Literal["scaled", "normalised"],
    lags: Literal["acf", "circular"],
) -> list[WindowStatistics]:
    """Statistics of each window.

    Args:
        windows: [batch, seq_len] in scaled units.
        statistics: `scaled`: in scaled units; `normalised`: after the instance normalisation of the published code.
        lags: `acf`: `strongest_lags`; `circular`: the lags of the published code.
    """
    if statistics == "normalised":
        rows = [_published_normalisation(window) for window in windows]
        trends: list[Trend] = ["upward" if row.diff().sum() > 0 else "downward" for row in rows]
        values = np.stack([row.numpy() for row in rows])
        # torch's median of an even count is the lower of the two middle values
        medians = np.sort(values, axis=1)[:, (values.shape[1] - 1) // 2]
    else:
        values = np.asarray(windows, dtype=np.float64)
        trends = _trends(values)
        medians = np.median(values, axis=1)
    if lags == "circular":
        lists = [_circular_lags(_published_normalisation(window)) for window in windows]
    else:
        lists = strongest_lags(np.asarray(windows, dtype=np.float64))
    return [
        WindowStatistics(float(low), float(high), float(middle), trend, window_lags)
        for low, high, middle, trend, window_lags in zip(
            values.min(axis=1), values.max(axis=1), medians, trends, lists, strict=True
        )
    ]


def strongest_lags(windows: Float[np.ndarray, "batch seq_len"], most: int = NUM_LAGS) -> list[list[int]]:
    """Lags of the autocorrelation peaks of each window, strongest first, at most `most`, from 1 to half the window.

    The window is padded with zeros to twice its length, so that the autocorrelation is not circular.
    """
    length = windows.shape[1]
    longest = length // 2
    centred = windows - windows.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred, n=2 * length, axis=1)) ** 2
    raw = np.fft.irfft(power, axis=1)[:, : longest + 2]
    variance = raw[:, :1]
    flat = variance <= EPSILON**2 * length
    # Rounded, so that rounding errors of the Fourier transform do not affect the selected lags.
    correlation = np.round(raw / np.where(flat, 1.0, variance), 9)
    inner = correlation[:, 1 : longest + 1]
    peaks = (inner > correlation[:, :longest]) & (inner >= correlation[:, 2 : longest + 2]) & ~flat
    ranked = np.argsort(np.where(peaks, -inner, np.inf), axis=1, kind="stable")[:, :most]
    counts = np.minimum(peaks.sum(axis=1), most)
    return [(order[:count] + 1).tolist() for order, count in zip(ranked, counts, strict=True)]


def _trends(
    values: Float[np.ndarray, "batch seq_len"],
) -> list[Trend]:
    """Trend of each window: the sign of the least-squares slope. Last point minus first point would be mostly noise."""
    time = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    slopes = ((values - values[:, :1]) * time).sum(axis=1)
    return ["upward" if slope > 0 else "downward" if slope < 0 else "flat" for slope in slopes]


def _published_normalisation(window: Float[np.ndarray, "seq_len"]) -> torch.Tensor:
    """One window after instance normalisation, with the same float32 operations as the published code."""
    points = torch.from_numpy(np.ascontiguousarray(window, dtype=np.float32))[None, :, None]
    mean = points.mean(dim=1, keepdim=True)
    deviation = torch.sqrt(points.var(dim=1, keepdim=True, unbiased=False) + EPSILON)
    return ((points - mean) / deviation)[0, :, 0]


def _circular_lags(window: torch.Tensor) -> list[int]:
    """Lags of the published code: lag 0, then pairs of a lag and its mirror image.

    Only rounding decides the order within a pair, so each window is transformed separately: in a batch the order could
    depend on the other windows.
    """
    spectrum = torch.fft.rfft(window)
    correlation = torch.fft.irfft(spectrum * torch.conj(spectrum))
    return torch.topk(correlation, min(NUM_LAGS, len(correlation))).indices.tolist()
