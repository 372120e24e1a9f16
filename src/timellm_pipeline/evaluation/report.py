"""The test: Time-LLM beside the baselines, on the same windows, in scaled and original units."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.baselines import Forecast, fit_linear, naive, score, seasonal_naive
from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.evaluation.forecasting import forecast_windows
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import EvaluationParams
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import Windows, every_window, refuse_mixed_data, windows_of

log = logging.getLogger(__name__)

NUM_EXAMPLES = 4
MOST_LINEAR = 2_000_000  # training windows that the linear baseline sees at most


@dataclass(frozen=True)
class Example:
    """One window of the target with its forecasts, in original units, for a picture."""

    channel: str
    input_dates: pd.Series
    horizon_dates: pd.Series
    seen: np.ndarray
    truth: np.ndarray
    forecasts: dict[str, np.ndarray]


@dataclass(frozen=True)
class TestResult:
    """`test_metrics`, and a few windows to look at."""

    metrics: dict[str, Any]
    examples: list[Example]


def run_test(
    saved: SavedModel,
    model: TimeLLM,
    compute: Compute,
    scaled_series: pd.DataFrame,
    scaler: Scaler,
    window_index: pd.DataFrame,
    evaluation: EvaluationParams,
) -> TestResult:
    """Score every indexed test window once with the model and with the baselines.

    Raises ModelError when the data sets do not belong together or have other channels than the model.
    """
    refuse_mixed_data(
        scaled_series=scaled_series.attrs.get("data_id"),
        scaler=scaler.data_id,
        window_index=window_index.attrs.get("data_id"),
    )
    config = saved.config
    if config.channels != scaler.channels:
        raise ModelError(
            f"the model was trained on the channels {config.channels}; this series has {scaler.channels}",
            where=str(saved.folder),
            do="evaluate it on a series with the same channels",
        )
    validation, test = (
        windows_of(scaled_series, window_index, split, config.window) for split in ("validation", "test")
    )
    if (saved.scaler.mean, saved.scaler.std) != (scaler.mean, scaler.std):
        log.warning("this is not the series that the model in %s was trained on", saved.folder)
    # The linear baseline costs nothing, so it sees every training window: it is to be as hard as it can be.
    train = every_window(scaled_series, scaler.rows, config.window, MOST_LINEAR)
    season = evaluation.season or season_length(scaled_series.attrs["frequency"])
    baselines = baseline_forecasts(train, validation, season)
    sums = ErrorSums(len(test.names), test.pred_len)
    chosen = _example_windows(test, config.window.target)
    kept: dict[int, np.ndarray] = {}
    for which, forecast, truth in forecast_windows(model, test, evaluation.batch_size, compute, "test"):
        sums.add(forecast, truth, test.channel[which])
        kept.update({int(number): forecast[row] for row, number in enumerate(which) if number in chosen})
    metrics = {
        "training_id": config.training_id,
        "best_step": config.best_step,
        "raw_sha256": scaled_series.attrs.get("sha256"),
        **compare(sums, baselines, test, scaler, evaluation.test_step, season),
    }
    examples = [
        _example(number, kept[number], baselines["seasonal_naive"], test, scaler, scaled_series["date"])
        for number in chosen
    ]
    return TestResult(metrics, examples)


def baseline_forecasts(train: Windows, validation: Windows, season: int) -> dict[str, Forecast]:
    """The forecasts that need no training run: windows [batch, seq_len] to [batch, pred_len], by name."""
    pred_len = train.pred_len
    return {
        "naive": lambda x: naive(x, pred_len),
        "seasonal_naive": lambda x: seasonal_naive(x, pred_len, season),
        "linear": fit_linear(train, validation),
    }


def compare(
    timellm: ErrorSums,
    baselines: dict[str, Forecast],
    test: Windows,
    scaler: Scaler,
    test_step: int,
    season: int,
) -> dict[str, Any]:
    """`test_metrics`: the number of windows, and each model's errors on them."""
    sums = {"timellm": timellm, **{name: score(forecast, test) for name, forecast in baselines.items()}}
    std = np.asarray(scaler.std)
    return {
        "num_windows": len(test),
        "test_step": test_step,
        "season": season,
        "models": {name: of_model.report(test.names, std) for name, of_model in sums.items()},
    }


def report_table(metrics: dict[str, Any]) -> str:
    """The models side by side, best first, for the log."""
    models = metrics["models"]
    seasonal = models["seasonal_naive"]["scaled"]["mse"]
    lines = [f"  {'(scaled units)':<15} {'MSE':>8} {'MAE':>8} {'RMSE':>8}   MSE against seasonal naive"]
    for name in sorted(models, key=lambda name: models[name]["scaled"]["mse"]):
        of = models[name]["scaled"]
        against = of["mse"] / seasonal - 1
        lines.append(f"  {name:<15} {of['mse']:>8.4f} {of['mae']:>8.4f} {of['rmse']:>8.4f}   {against:+.1%}")
    return "\n".join(lines)


def _example_windows(test: Windows, target: str) -> list[int]:
    """A few windows of the target, evenly spread over the test."""
    of_target = np.flatnonzero(test.channel == test.names.index(target))
    positions = np.linspace(0, len(of_target) - 1, min(NUM_EXAMPLES, len(of_target))).round().astype(int)
    return [int(of_target[position]) for position in positions]


def _example(
    number: int, forecast: np.ndarray, seasonal: Forecast, test: Windows, scaler: Scaler, dates: pd.Series
) -> Example:
    which = np.array([number])
    channel, first = test.channel[which], int(test.start[number])
    x, y = test.gather(which)
    split = first + test.seq_len
    return Example(
        channel=test.names[int(channel[0])],
        input_dates=dates.iloc[first:split],
        horizon_dates=dates.iloc[split : split + test.pred_len],
        seen=scaler.unscale(x, channel)[0],
        truth=scaler.unscale(y, channel)[0],
        forecasts={
            "Time-LLM": scaler.unscale(forecast[None], channel)[0],
            "seasonal naive": scaler.unscale(seasonal(x), channel)[0],
        },
    )
