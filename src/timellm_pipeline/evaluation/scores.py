"""Everything that is summed of one model's forecasts of the test windows: by channel and horizon, and by origin.

MASE   absolute error over that of seasonal naive inside the training rows (Hyndman and Koehler 2006)
sMAPE  mean of 200 |forecast - truth| / (|forecast| + |truth|), original units
WAPE   sum of absolute errors over sum of absolute truths, in percent, original units
"""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import Windows


class TestScores:
    """The sums of one model over the test."""

    __test__ = False  # pytest would take it for a class of tests

    def __init__(self, test: Windows, scaler: Scaler) -> None:
        self.test, self.scaler = test, scaler
        self.sums = ErrorSums(len(test.names), test.pred_len)
        self.ratios = np.zeros(len(test.names))  # of sMAPE, each channel's sum
        self.truths = np.zeros(len(test.names))  # absolute truths in original units
        self.starts, self.origin_of = np.unique(test.start, return_inverse=True)
        self.by_origin = np.zeros((2, len(self.starts)))  # squared and absolute, scaled units

    def add(
        self,
        which: Int[np.ndarray, "batch"],
        forecast: Float[np.ndarray, "batch pred_len"],
        truth: Float[np.ndarray, "batch pred_len"],
    ) -> None:
        """Count a batch of forecasts (scaled units); `which` numbers its test windows.

        Raises ModelError for a forecast that is not a finite number: an error of NaN says nothing.
        """
        channel = self.test.channel[which]
        bad = np.flatnonzero(~np.isfinite(forecast).all(axis=1))
        if bad.size:
            number = int(which[bad[0]])
            raise ModelError(
                f"the forecast of test window {number:,} (channel `{self.test.names[int(channel[bad[0]])]}`, rows from "
                f"{int(self.test.start[number]):,}) is not a finite number",
                where=f"the test, {bad.size} of {len(which)} windows of a batch",
                do="look for extreme values in those rows, or use another model",
            )
        self.sums.add(forecast, truth, channel)
        error = forecast.astype(np.float64) - truth
        np.add.at(self.by_origin[0], self.origin_of[which], (error**2).mean(axis=1))
        np.add.at(self.by_origin[1], self.origin_of[which], np.abs(error).mean(axis=1))
        ours, theirs = (np.abs(self.scaler.unscale(part.astype(np.float64), channel)) for part in (forecast, truth))
        off = np.abs(error) * np.asarray(self.scaler.std)[channel, None]
        sizes = ours + theirs
        ratios = np.divide(200 * off, sizes, out=np.zeros_like(off), where=sizes > 0)
        np.add.at(self.ratios, channel, ratios.sum(axis=1))
        np.add.at(self.truths, channel, theirs.sum(axis=1))

    def origin_errors(self) -> tuple[np.ndarray, np.ndarray]:
        """MSE and MAE (scaled units) of each origin, oldest first, its channels and steps together."""
        squared, absolute = self.by_origin / np.bincount(self.origin_of)
        return squared, absolute

    def report(self, season_errors: Float[np.ndarray, "channels"]) -> dict[str, Any]:
        """`scaled` and `original` errors: overall, per horizon step, per channel.

        Args:
            season_errors: mean absolute error of seasonal naive inside the training rows, scaled units.
        """
        names, sums = self.test.names, self.sums
        report = sums.report(names, np.asarray(self.scaler.std))
        points = sums.windows * self.test.pred_len
        used = np.flatnonzero(sums.windows)
        with np.errstate(divide="ignore", invalid="ignore"):
            mase = sums.absolute.sum(axis=1) / points / season_errors
            smape = self.ratios / points
            wape = 100 * sums.absolute.sum(axis=1) * np.asarray(self.scaler.std) / self.truths
        for number in used:
            values = {"mase": mase[number], "smape": smape[number], "wape": wape[number]}
            report["original"]["per_channel"][names[number]] |= {name: _number(one) for name, one in values.items()}
        known = used[np.isfinite(mase[used])]
        absolute = sums.absolute.sum(axis=1) * np.asarray(self.scaler.std)
        total = self.truths.sum()
        report["original"] |= {
            "mase": _number(np.average(mase[known], weights=sums.windows[known])) if len(known) else None,
            "smape": _number(self.ratios.sum() / points.sum()),
            "wape": _number(100 * absolute.sum() / total) if total else None,
        }
        return report


def season_errors(scaled: pd.DataFrame, rows: tuple[int, int], season: int) -> Float[np.ndarray, "channels"]:
    """Mean absolute difference to the row a season before, inside a row range, of each channel (scaled units)."""
    values = scaled.drop(columns="date").iloc[rows[0] : rows[1]].to_numpy(dtype=np.float64)
    lag = min(season, len(values) - 1)
    errors: np.ndarray = np.abs(values[lag:] - values[:-lag]).mean(axis=0)
    return errors


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
