"""Errors summed over windows and divided once, per channel and per horizon step.

A mean of batch means is wrong as soon as one batch is shorter, and a dropped last batch always drops the same
windows of the last channel. So errors are summed in float64 over every window and divided at the end.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int


class ErrorSums:
    """Sums of squared and absolute errors in scaled units, [channels, horizon], and windows a channel."""

    def __init__(self, num_channels: int, pred_len: int) -> None:
        self.squared = np.zeros((num_channels, pred_len))
        self.absolute = np.zeros((num_channels, pred_len))
        self.windows = np.zeros(num_channels, dtype=np.int64)

    def add(
        self,
        forecast: Float[np.ndarray, "batch pred_len"],
        truth: Float[np.ndarray, "batch pred_len"],
        channel: Int[np.ndarray, "batch"],
    ) -> None:
        """Count a batch of forecasts; `channel` numbers each window's channel."""
        error = forecast.astype(np.float64) - truth
        np.add.at(self.squared, channel, error**2)
        np.add.at(self.absolute, channel, np.abs(error))
        np.add.at(self.windows, channel, 1)

    @property
    def mse(self) -> float:
        """Mean squared error over every window and step, in scaled units."""
        return float(self.squared.sum() / (self.windows.sum() * self.squared.shape[1]))

    def report(self, names: tuple[str, ...], std: Float[np.ndarray, "channels"]) -> dict[str, Any]:
        """`scaled` and `original` errors: overall, per horizon step, per channel.

        A scaled error times the channel's standard deviation is the error in original units, so both come from
        the same sums.
        """
        ones = np.ones(len(names))
        return {"scaled": self._in_units(names, ones), "original": self._in_units(names, std)}

    def _in_units(self, names: tuple[str, ...], unit: Float[np.ndarray, "channels"]) -> dict[str, Any]:
        squared, absolute = self.squared * unit[:, None] ** 2, self.absolute * unit[:, None]
        count = self.windows.sum()
        mse_by_step, mae_by_step = squared.sum(axis=0) / count, absolute.sum(axis=0) / count
        used = [number for number in range(len(names)) if self.windows[number]]
        return {
            **_three(mse_by_step.mean(), mae_by_step.mean()),
            "per_horizon": {"mse": mse_by_step.tolist(), "mae": mae_by_step.tolist()},
            "per_channel": {
                names[number]: _three(
                    squared[number].mean() / self.windows[number],
                    absolute[number].mean() / self.windows[number],
                )
                for number in used
            },
        }


def _three(mse: float, mae: float) -> dict[str, float]:
    return {"mse": float(mse), "mae": float(mae), "rmse": float(np.sqrt(mse))}
