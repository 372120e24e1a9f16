"""Error sums of a model over the test windows, by channel and horizon step, and by origin.

MASE   absolute error divided by that of seasonal naive on the training rows (Hyndman and Koehler 2006)
sMAPE  mean of 200 |forecast - truth| / (|forecast| + |truth|), original units
WAPE   sum of absolute errors divided by the sum of absolute true values, in percent, original units
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.errors import ModelError, shown
from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.scaling import Scaler, equally_long
from timellm_pipeline.series.windows import Windows


class TestScores:
    """Error sums of one model over the test.

    Args:
        test: the test windows, in scaled units.
        scaler: their scaler.
    """

    __test__ = False  # pytest would collect it as a test class

    def __init__(self, test: Windows, scaler: Scaler) -> None:
        self.test, self.scaler = test, scaler
        self.sums = ErrorSums(len(test.names), test.pred_len)
        self.ratios = np.zeros(len(test.names))  # sum of the sMAPE terms of each channel
        self.truths = np.zeros(len(test.names))  # sum of absolute true values of each channel, original units
        self.origins = test.origins()
        self.by_origin = np.zeros((2, len(self.origins)))  # squared and absolute, scaled units
        self.windows_of_origin = np.zeros(len(self.origins), dtype=np.int64)

    def add(
        self,
        which: Int[np.ndarray, "batch"],
        forecast: Float[np.ndarray, "batch pred_len"],
        truth: Float[np.ndarray, "batch pred_len"],
    ) -> None:
        """Add a batch.

        Args:
            which: numbers of the test windows.
            forecast: forecasts in scaled units.
            truth: true values in scaled units.

        Raises ModelError if a forecast is not a finite number.
        """
        channel = self.test.channel(which)
        bad = np.flatnonzero(~np.isfinite(forecast).all(axis=1))
        if bad.size:
            number = int(which[bad[0]])
            raise ModelError(
                f"the forecast of test window {number:,} (channel `{shown(self.test.names[int(channel[bad[0]])])}`, "
                f"input until {self.test.panel.stamps[self.test.origin(which[bad[:1]])[0]]}) is not a finite number",
                where=f"the test, {bad.size} of {len(which)} windows of a batch",
                do="check these rows for extreme values, or use another model",
            )
        self.sums.add(forecast, truth, channel)
        error = forecast.astype(np.float64) - truth
        origin = np.searchsorted(self.origins, self.test.origin(which))
        np.add.at(self.by_origin[0], origin, (error**2).mean(axis=1))
        np.add.at(self.by_origin[1], origin, np.abs(error).mean(axis=1))
        np.add.at(self.windows_of_origin, origin, 1)
        forecast_size, truth_size = (
            np.abs(self.scaler.unscale(values.astype(np.float64), channel)) for values in (forecast, truth)
        )
        absolute = np.abs(error) * np.asarray(self.scaler.std)[channel, None]
        sizes = forecast_size + truth_size
        ratios = np.divide(200 * absolute, sizes, out=np.zeros_like(absolute), where=sizes > 0)
        np.add.at(self.ratios, channel, ratios.sum(axis=1))
        np.add.at(self.truths, channel, truth_size.sum(axis=1))

    def origin_errors(self) -> tuple[np.ndarray, np.ndarray]:
        """MSE and MAE of each origin in scaled units, oldest first, averaged over channels and horizon steps."""
        squared, absolute = self.by_origin / self.windows_of_origin
        return squared, absolute

    def report(self, season_errors: Float[np.ndarray, "channels"]) -> dict[str, Any]:
        """Errors in `scaled` and `original` units: overall, per horizon step and per channel.

        MASE, sMAPE and WAPE are part of `original`.

        Args:
            season_errors: mean absolute error of seasonal naive on the training rows, in scaled units.
        """
        names, sums = self.test.names, self.sums
        report = sums.report(names, np.asarray(self.scaler.std))
        points = sums.windows * self.test.pred_len
        used = np.flatnonzero(sums.windows)
        with np.errstate(divide="ignore", invalid="ignore"):
            mase = sums.absolute.sum(axis=1) / points / season_errors
            smape = self.ratios / points
            wape = 100 * sums.absolute.sum(axis=1) * np.asarray(self.scaler.std) / self.truths
        finite = ([_finite_or_none(value) for value in values[used].tolist()] for values in (mase, smape, wape))
        for number, *errors in zip(used.tolist(), *finite, strict=True):
            report["original"]["per_channel"][names[number]] |= dict(
                zip(("mase", "smape", "wape"), errors, strict=True)
            )
        known = used[np.isfinite(mase[used])]
        absolute = sums.absolute.sum(axis=1) * np.asarray(self.scaler.std)
        total = self.truths.sum()
        report["original"] |= {
            "mase": _finite_or_none(np.average(mase[known], weights=sums.windows[known])) if len(known) else None,
            "smape": _finite_or_none(self.ratios.sum() / points.sum()),
            "wape": _finite_or_none(100 * absolute.sum() / total) if total else None,
        }
        return report


def season_errors(scaled: Panel, rows: tuple[int, int], season: int) -> Float[np.ndarray, "channels"]:
    """Mean absolute error of seasonal naive inside a row range, for each series, in scaled units.

    It is not finite for a series with fewer than two rows there.

    Args:
        scaled: series in scaled units.
        rows: half-open range of grid positions.
        season: season length in rows.
    """
    errors = np.full(scaled.num_series, np.nan)
    begin, end = (np.clip(position - scaled.first, 0, scaled.lengths) for position in rows)
    for number, values in equally_long(scaled, begin, end - begin):
        lag = min(season, values.shape[1] - 1)
        if lag > 0:
            errors[number] = np.abs(values[:, lag:] - values[:, :-lag]).mean(axis=1)
    return errors


def _finite_or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
