"""The test: Time-LLM beside the baselines, on the same windows, in scaled and original units."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.evaluation.baselines import CHUNK, Forecast, fit_linear, naive, seasonal_naive
from timellm_pipeline.evaluation.coverage import Coverage
from timellm_pipeline.evaluation.forecasting import forecast_windows
from timellm_pipeline.evaluation.noise import compare_origins
from timellm_pipeline.evaluation.scores import TestScores, season_errors
from timellm_pipeline.model.batches import in_order
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.prompt import describe_scaled
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
    """`test_metrics`, the errors of each origin, and a few windows to look at."""

    __test__ = False  # pytest would take it for a class of tests

    metrics: dict[str, Any]
    origins: pd.DataFrame
    examples: list[Example]


def words_for(saved: SavedModel, scaled_series: pd.DataFrame, scaler: Scaler) -> str:
    """What the prompt says of the series: another series than the model was trained on is described anew, and said."""
    if (saved.scaler.mean, saved.scaler.std, saved.scaler.channels) == (scaler.mean, scaler.std, scaler.channels):
        return saved.config.description
    words = describe_scaled(saved.config.prompt, scaled_series, scaler)
    log.warning(
        "this is not the series that the model was trained on: it is scored with a scaler fitted to this series' own "
        "%s training rows, and described as: %s",
        f"{scaler.rows[1] - scaler.rows[0]:,}",
        words,
    )
    if scaled_series.attrs["frequency"] != saved.config.frequency:
        log.warning(
            "its steps are %s; in training they were %s", scaled_series.attrs["frequency"], saved.config.frequency
        )
    return words


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

    Raises ModelError when the data sets do not belong together.
    """
    refuse_mixed_data(
        scaled_series=scaled_series.attrs.get("data_id"),
        scaler=scaler.data_id,
        window_index=window_index.attrs.get("data_id"),
    )
    config = saved.config
    validation, test = (
        windows_of(scaled_series, window_index, split, config.window) for split in ("validation", "test")
    )
    # The linear baseline costs nothing, so it sees every training window: it is to be as hard as it can be.
    train = every_window(scaled_series, scaler.rows, config.window, MOST_LINEAR)
    season = evaluation.season or season_length(scaled_series.attrs["frequency"])
    baselines = baseline_forecasts(train, validation, season)
    scores = {"timellm": TestScores(test, scaler)}
    coverage = Coverage(saved.intervals() if saved.scaler.channels == scaler.channels else None)
    chosen = _example_windows(test, config.window.target)
    kept: dict[int, np.ndarray] = {}
    for which, forecast, truth in forecast_windows(model, test, evaluation.batch_size, compute, "test"):
        scores["timellm"].add(which, forecast, truth)
        coverage.add(forecast - truth, test.channel[which])
        kept.update({int(number): forecast[row] for row, number in enumerate(which) if number in chosen})
    scores |= {name: score_test(forecast, test, scaler) for name, forecast in baselines.items()}
    metrics = {
        "training_id": config.training_id,
        "best_step": config.best_step,
        "raw_sha256": scaled_series.attrs.get("sha256"),
        "num_windows": len(test),
        "test_step": evaluation.test_step,
        "season": season,
        "models": compare(scores, season_errors(scaled_series, scaler.rows, season)),
        "differences": differences(scores, -(-test.pred_len // evaluation.test_step)),
        "coverage": coverage.report(),
    }
    examples = [
        _example(number, kept[number], baselines["seasonal_naive"], test, scaler, scaled_series["date"])
        for number in chosen
    ]
    return TestResult(metrics, _origins(scores, test, scaled_series["date"]), examples)


def baseline_forecasts(train: Windows, validation: Windows, season: int) -> dict[str, Forecast]:
    """The forecasts that need no training run: windows [batch, seq_len] to [batch, pred_len], by name."""
    pred_len = train.pred_len
    return {
        "naive": lambda x: naive(x, pred_len),
        "seasonal_naive": lambda x: seasonal_naive(x, pred_len, season),
        "linear": fit_linear(train, validation),
    }


def score_test(forecast: Forecast, test: Windows, scaler: Scaler) -> TestScores:
    """A baseline's scores over every test window."""
    scores = TestScores(test, scaler)
    for which in in_order(len(test), CHUNK):
        x, y = test.gather(which)
        scores.add(which, forecast(x), y)
    return scores


def compare(scores: dict[str, TestScores], season: np.ndarray) -> dict[str, Any]:
    """Each model's errors, and its skill: the share of seasonal naive's squared error that it takes away."""
    reports = {name: of.report(season) for name, of in scores.items()}
    base = reports["seasonal_naive"]["scaled"]["mse"]
    for report in reports.values():
        report["skill"] = 1 - report["scaled"]["mse"] / base if base else None
    return reports


def differences(scores: dict[str, TestScores], block: int) -> dict[str, Any]:
    """Time-LLM's MSE less each other model's (scaled units), and whether that is more than noise."""
    ours, _ = scores["timellm"].origin_errors()
    return {
        name: compare_origins(ours, of.origin_errors()[0], block) for name, of in scores.items() if name != "timellm"
    }


def report_table(metrics: dict[str, Any]) -> str:
    """The models side by side, best first, for the log."""
    models = metrics["models"]
    heads = ("MSE", "MAE", "RMSE", "MASE", "sMAPE", "WAPE")
    lines = [f"  {'':<15}" + "".join(f"{head:>9}" for head in heads) + "    skill   Time-LLM's MSE against it"]
    for name in sorted(models, key=lambda name: models[name]["scaled"]["mse"]):
        scaled, original = models[name]["scaled"], models[name]["original"]
        values = [scaled[key] for key in ("mse", "mae", "rmse")] + [original[key] for key in ("mase", "smape", "wape")]
        shown = "".join(f"{'-':>9}" if value is None else f"{value:>9.4g}" for value in values)
        skill = models[name]["skill"]
        lines.append(f"  {name:<15}{shown}{'-' if skill is None else f'{skill:+.1%}':>9}   {_noise(metrics, name)}")
    lines.append("  MSE, MAE, RMSE in scaled units; MASE against seasonal naive in training; sMAPE, WAPE in percent")
    covered = [f"{level} %: {of['inside']:.1%}" for level, of in metrics["coverage"].items() if level in ("80", "95")]
    if covered:
        lines.append(f"  truths inside the intervals of {', '.join(covered)}")
    return "\n".join(lines)


def _noise(metrics: dict[str, Any], name: str) -> str:
    found = metrics["differences"].get(name)
    if found is None:
        return ""
    verdict = {True: "beyond noise", False: "within noise", None: "too few origins to tell"}[found["beyond_noise"]]
    return f"{found['difference']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f}), {verdict}"


def _origins(scores: dict[str, TestScores], test: Windows, dates: pd.Series) -> pd.DataFrame:
    """`window_end, model, mse, mae`: the errors of each origin in scaled units."""
    ends = dates.to_numpy()[scores["timellm"].starts + test.seq_len - 1]
    tables = []
    for name, of in scores.items():
        mse, mae = of.origin_errors()
        tables.append(pd.DataFrame({"window_end": ends, "model": name, "mse": mse, "mae": mae}))
    return pd.concat(tables, ignore_index=True)


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
