"""Error sums per channel and horizon step, over all windows.

The mean of batch means is wrong if one batch is shorter, and dropping the last batch always drops the same windows of
the last channel. Errors are therefore summed in float64 over every window and divided once at the end.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int


class ErrorSums:
    """Sums of squared and absolute errors in scaled units, [channels, pred_len], and number of windows per channel."""

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
        """Add a batch.

        Args:
            forecast: forecasts in scaled units.
            truth: true values in scaled units.
            channel: channel index of each window.
        """
        error = forecast.astype(np.float64) - truth
        np.add.at(self.squared, channel, error**2)
        np.add.at(self.absolute, channel, np.abs(error))
        np.add.at(self.windows, channel, 1)

    @property
    def mse(self) -> float:
        """Mean squared error over every window and step, in scaled units."""
        return float(self.squared.sum() / (self.windows.sum() * self.squared.shape[1]))

    def report(self, names: tuple[str, ...], std: Float[np.ndarray, "channels"]) -> dict[str, Any]:
        """Errors in `scaled` and `original` units: overall, per horizon step and per channel.

        A scaled error times the standard deviation of the channel is the error in original units, so both are computed
        from the same sums.

        Args:
            names: name of each channel.
            std: standard deviation of each channel.
        """
        ones = np.ones(len(names))
        return {"scaled": self._in_units(names, ones), "original": self._in_units(names, std)}

    def _in_units(self, names: tuple[str, ...], unit: Float[np.ndarray, "channels"]) -> dict[str, Any]:
        squared, absolute = self.squared * unit[:, None] ** 2, self.absolute * unit[:, None]
        count = self.windows.sum()
        mse_by_step, mae_by_step = squared.sum(axis=0) / count, absolute.sum(axis=0) / count
        used = np.flatnonzero(self.windows)
        # For all channels at once: there may be 20,000. The mean of a row has the bits of the mean of the row alone.
        mse, mae = (sums[used].mean(axis=1) / self.windows[used] for sums in (squared, absolute))
        columns = zip(used.tolist(), mse.tolist(), mae.tolist(), np.sqrt(mse).tolist(), strict=True)
        return {
            **_error_metrics(mse_by_step.mean(), mae_by_step.mean(), np.sqrt(mse_by_step.mean())),
            "per_horizon": {"mse": mse_by_step.tolist(), "mae": mae_by_step.tolist()},
            "per_channel": {names[number]: _error_metrics(*errors) for number, *errors in columns},
        }


def _error_metrics(mse: float, mae: float, rmse: float) -> dict[str, float]:
    return {"mse": float(mse), "mae": float(mae), "rmse": float(rmse)}
