"""AutoETS of statsforecast on test origins of a prepared series.

AutoETS describes one series by itself, while all other models share their parameters among channels. The rule: for each
channel in original units, its model and parameters are chosen once, on the training rows; at each test origin its
states are updated with every row until the origin. Origins are one horizon apart. ETS has no seasons longer than 24
rows: longer seasons are ignored.
"""

import importlib
import warnings
from typing import Any

import numpy as np

from quality_scores import Errors, Measured

LONGEST_SEASON = 24


def find_ets() -> Any | None:
    """The class AutoETS; None if statsforecast is not installed."""
    try:
        return importlib.import_module("statsforecast.models").AutoETS
    except ImportError:
        return None


def ets_origins(measured: Measured) -> np.ndarray:
    """Numbers of the test origins that AutoETS forecasts: one horizon apart."""
    test = measured.data.windows("test")
    return np.arange(0, len(test.origins()), test.pred_len)


def ets_errors(measured: Measured, auto_ets: Any) -> Errors:
    """Errors of AutoETS on `ets_origins`, the mean over channels and horizon, in scaled units."""
    test, scaler, series = measured.data.windows("test"), measured.data.scaler, measured.prepared.series
    channels = np.unique(test.segments.series)
    origins = test.origins()[ets_origins(measured)]
    errors = np.empty((len(channels), 2, len(origins)))
    season = measured.season if measured.season <= LONGEST_SEASON else 1
    for row, number in enumerate(channels):
        name = test.names[number]
        values = series.series(series.number_of[name]).astype(np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = auto_ets(season_length=season).fit(values[slice(*scaler.rows)])
            for column, origin in enumerate(origins):
                forecast = fitted.forward(values[: origin + 1], h=test.pred_len)["mean"]
                error = (forecast - values[origin + 1 : origin + 1 + test.pred_len]) / scaler.std[number]
                errors[row, :, column] = np.mean(error**2), np.mean(np.abs(error))
    result: Errors = errors.mean(axis=0)
    return result
