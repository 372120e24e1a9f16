"""What the prompt says of a window: smallest, largest and middle value, trend, and the lags that repeat.

Each number is a function of its window alone, to the last bit, whatever batch the window comes in: a prompt that
changed with its batch mates would change the forecast.
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
    """Statistics of each window, in scaled units or after instance normalisation."""
    if statistics == "normalised":
        rows = [_published_normalisation(window) for window in windows]
        trends: list[Trend] = ["upward" if row.diff().sum() > 0 else "downward" for row in rows]
        values = np.stack([row.numpy() for row in rows])
        # torch's median of an even count is the lower of the two middle values
        medians = np.sort(values, axis=1)[:, (values.shape[1] - 1) // 2]
    else:
        values = np.asarray(windows, dtype=np.float64)
        trends = _slopes_in_words(values)
        medians = np.median(values, axis=1)
    if lags == "circular":
        lists = [_circular_lags(_published_normalisation(window)) for window in windows]
    else:
        lists = strongest_lags(np.asarray(windows, dtype=np.float64))
    return [
        WindowStatistics(float(low), float(high), float(middle), trend, of_window)
        for low, high, middle, trend, of_window in zip(
            values.min(axis=1), values.max(axis=1), medians, trends, lists, strict=True
        )
    ]


def strongest_lags(windows: Float[np.ndarray, "batch seq_len"], most: int = NUM_LAGS) -> list[list[int]]:
    """Lags from 1 to half the window at which the autocorrelation peaks, strongest first, at most five.

    The window is padded with zeros to twice its length, so that its end does not meet its start.
    """
    length = windows.shape[1]
    longest = length // 2
    centred = windows - windows.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred, n=2 * length, axis=1)) ** 2
    raw = np.fft.irfft(power, axis=1)[:, : longest + 2]
    variance = raw[:, :1]
    flat = variance <= EPSILON**2 * length
    # Rounded, so that the transform's last bits never decide which lag is named.
    correlation = np.round(raw / np.where(flat, 1.0, variance), 9)
    inner = correlation[:, 1 : longest + 1]
    peaks = (inner > correlation[:, :longest]) & (inner >= correlation[:, 2 : longest + 2]) & ~flat
    ranked = np.argsort(np.where(peaks, -inner, np.inf), axis=1, kind="stable")[:, :most]
    counts = np.minimum(peaks.sum(axis=1), most)
    return [(order[:count] + 1).tolist() for order, count in zip(ranked, counts, strict=True)]


def _slopes_in_words(
    values: Float[np.ndarray, "batch seq_len"],
) -> list[Trend]:
    """Sign of the least-squares slope: the last point less the first would be mostly noise."""
    time = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    slopes = ((values - values[:, :1]) * time).sum(axis=1)
    return ["upward" if slope > 0 else "downward" if slope < 0 else "flat" for slope in slopes]


def _published_normalisation(window: Float[np.ndarray, "seq_len"]) -> torch.Tensor:
    """One window less its mean over its deviation, in the published code's very operations (float32)."""
    points = torch.from_numpy(np.ascontiguousarray(window, dtype=np.float32))[None, :, None]
    mean = points.mean(dim=1, keepdim=True)
    deviation = torch.sqrt(points.var(dim=1, keepdim=True, unbiased=False) + EPSILON)
    return ((points - mean) / deviation)[0, :, 0]


def _circular_lags(window: torch.Tensor) -> list[int]:
    """The published list: lag 0 first, then pairs of a lag and its mirror. Rounding alone orders a pair, so each
    window is transformed by itself: in a batch the order could depend on the neighbours."""
    spectrum = torch.fft.rfft(window)
    correlation = torch.fft.irfft(spectrum * torch.conj(spectrum))
    return torch.topk(correlation, min(NUM_LAGS, len(correlation))).indices.tolist()
