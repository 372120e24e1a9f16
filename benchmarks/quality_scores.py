"""Errors by origin of the linear part and of the baselines, and the ratio of two models' errors with its interval."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from timellm_pipeline.evaluation.baselines import CHUNK, Forecast, score
from timellm_pipeline.evaluation.calibration import calibrate
from timellm_pipeline.evaluation.coverage import Coverage
from timellm_pipeline.evaluation.report import baseline_forecasts, score_test
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.evaluation.significance import needed_origins, num_cosines, standard_error, t_quantile
from timellm_pipeline.linear.fit import fit_linear
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.array_windows import in_order
from timellm_pipeline.model.intervals import MOST_WINDOWS
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.prepare import Prepared, TrainingData
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import Windows

Errors = np.ndarray  # [2, origins]: MSE and MAE of each origin in scaled units, oldest first
LINEAR, RIDGE = "linear part", "plain ridge"
NAMES = {"linear": RIDGE, "seasonal_naive": "seasonal naive", "naive": "naive"}
BASELINES = tuple(NAMES.values())
ROUNDING = 1e-6  # relative, of the limits of a ratio


@dataclass(frozen=True)
class Measured:
    """Results of the linear part and the baselines for one series and horizon.

    Attributes:
        season: season length in rows of seasonal naive.
        linear: the linear part.
        errors: test errors of each model.
        coverage: of the linear part's prediction intervals on validation and test: level, then share inside.
        validation: validation MSE of each model.
        seconds: of fitting and scoring each model.
    """

    prepared: Prepared
    season: int
    linear: LinearPart
    errors: dict[str, Errors]
    validation: dict[str, float]
    seconds: dict[str, float]
    coverage: dict[str, dict[str, float]]

    @property
    def data(self) -> TrainingData:
        """Scaled series, scaler and windows."""
        return self.prepared.training


@dataclass(frozen=True)
class Ratio:
    """Ratio of the MSEs of two models with its 95 % interval; without limits if there are too few origins."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (too few origins)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def measure(prepared: Prepared, parameters: Parameters) -> Measured:
    """Fit the linear part and the baselines, and score them on every validation and test window."""
    data, window, evaluation = prepared.training, parameters.window, parameters.evaluation
    test, validation = data.windows("test"), data.windows("validation")
    season = evaluation.season or season_length(data.scaled.frequency)
    seconds = dict.fromkeys((LINEAR, *BASELINES), 0.0)

    start = time.perf_counter()
    linear = fit_linear(data, window, parameters.model, evaluation)
    errors = {LINEAR: _score_linear(linear, test, data.scaler)}
    found = {LINEAR: linear.facts.validation_mse or float("nan")}
    seconds[LINEAR] = time.perf_counter() - start

    start = time.perf_counter()
    forecasts = {NAMES[name]: forecast for name, forecast in baseline_forecasts(data, window, season).items()}
    seconds[RIDGE] = time.perf_counter() - start  # only the ridge needs a fit
    for name in BASELINES:
        start = time.perf_counter()
        errors[name] = _score(forecasts[name], test, data.scaler)
        found[name] = score(forecasts[name], validation).mse
        seconds[name] += time.perf_counter() - start
    return Measured(prepared, season, linear, errors, found, seconds, _coverage(linear, data))


def best_baseline(errors: Mapping[str, Errors]) -> str:
    """The baseline with the smallest test MSE."""
    return min(BASELINES, key=lambda name: mse(errors[name]))


def mse(errors: Errors) -> float:
    """Mean squared error over all origins."""
    return float(errors[0].mean())


def mae(errors: Errors) -> float:
    """Mean absolute error over all origins."""
    return float(errors[1].mean())


def ratio(ours: Errors, theirs: Errors, block: int) -> Ratio:
    """Ratio of the MSEs with its 95 % interval.

    The interval contains each r for which the paired test (evaluation/significance.py) finds no difference between the
    errors of ours and r times the errors of theirs (Fieller 1954). So its lower limit is above 1.03 if ours is
    significantly worse than 1.03 times theirs. It may reach 0 or infinity if a few origins dominate both means.

    Args:
        ours, theirs: errors on the same origins.
        block: origins per horizon, rounded up.
    """
    value = mse(ours) / mse(theirs)
    count = ours.shape[1]
    if count < needed_origins(block):
        return Ratio(value)
    cosines = num_cosines(count, block)
    a, b = ours[0], theirs[0]
    # (mean of a - r * b)² = t² * (variance of this mean) is a quadratic equation of r.
    factor = t_quantile(0.975, cosines) ** 2
    var_a, var_b, var_sum = (float(standard_error(errors, cosines)) ** 2 for errors in (a, b, a + b))
    covariance = (var_sum - var_a - var_b) / 2
    mean_a, mean_b = float(a.mean()), float(b.mean())
    square, constant = mean_b**2 - factor * var_b, mean_a**2 - factor * var_a
    product = mean_a * mean_b - factor * covariance
    spread = np.sqrt(max(product**2 - square * constant, 0.0))
    roots = [(product - spread) / square, (product + spread) / square] if square else [constant / (2 * product)]
    below = [min(root, value) for root in roots if 0 <= root <= value * (1 + ROUNDING)]
    above = [max(root, value) for root in roots if root >= value * (1 - ROUNDING)]
    return Ratio(value, max(below, default=0.0), min(above, default=float("inf")))


def _coverage(linear: LinearPart, data: TrainingData) -> dict[str, dict[str, float]]:
    """Share of true values inside the intervals that the pipeline gives the linear part."""
    validation = data.windows("validation")
    sample = np.arange(0, len(validation), -(-len(validation) // MOST_WINDOWS))
    intervals = calibrate(_errors(linear, validation, sample), sample, validation, data.windows("train"), linear)
    found = {}
    for name in ("validation", "test"):
        windows, coverage = data.windows(name), Coverage(intervals)
        for which in in_order(len(windows), CHUNK):
            coverage.add(_errors(linear, windows, which), windows.channel(which))
        found[name] = {level: counts["inside"] for level, counts in coverage.report().items()}
    return found


def _errors(linear: LinearPart, windows: Windows, which: np.ndarray) -> np.ndarray:
    """Errors [windows, horizon] of the linear part, each series with its own map."""
    x, y = windows.gather(which)
    return y - linear.forecast(x, linear.numbers(windows.names)[windows.channel(which)])


def _score(forecast: Forecast, test: Windows, scaler: Scaler) -> Errors:
    return np.stack(score_test(forecast, test, scaler).origin_errors())


def _score_linear(linear: LinearPart, test: Windows, scaler: Scaler) -> Errors:
    """Errors of the linear part: each series has its own map."""
    scores, numbers = TestScores(test, scaler), linear.numbers(test.names)
    for which in in_order(len(test), CHUNK):
        x, y = test.gather(which)
        scores.add(which, linear.forecast(x, numbers[test.channel(which)]), y)
    return np.stack(scores.origin_errors())
