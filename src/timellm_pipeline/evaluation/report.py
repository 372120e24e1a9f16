"""The test: errors of Time-LLM and of the baselines on the same windows, in scaled and original units."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.baselines import CHUNK, Forecast, naive, seasonal_naive
from timellm_pipeline.evaluation.by_series import series_table
from timellm_pipeline.evaluation.coverage import Coverage
from timellm_pipeline.evaluation.examples import Example, make_examples
from timellm_pipeline.evaluation.scores import TestScores, season_errors
from timellm_pipeline.evaluation.significance import Comparison, compare_origins
from timellm_pipeline.linear.fit import fit_ridge
from timellm_pipeline.linear.fitter import Task
from timellm_pipeline.model.array_windows import in_order
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.prompt import describe_scaled
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import BackboneParams, EvaluationParams, WindowParams, WorkersParams
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import WindowData
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import Windows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TestResult:
    """Result of the test.

    Attributes:
        metrics: content of `test_metrics`.
        origins: errors of each origin and model.
        series: errors of each series, see `series_table`.
        examples: a few windows for a plot.
    """

    __test__ = False  # pytest would collect it as a test class

    metrics: dict[str, Any]
    origins: pd.DataFrame
    series: pd.DataFrame
    examples: list[Example]


def describe_for(saved: SavedModel, scaled: Panel, scaler: Scaler) -> str:
    """Description of the series in the prompt. If the series differs from training, it is generated and logged."""
    if (saved.scaler.mean, saved.scaler.std, saved.scaler.channels) == (scaler.mean, scaler.std, scaler.channels):
        return saved.config.description
    description = describe_scaled(saved.config.prompt, scaled, scaler)
    log.warning(
        "the training rows of this series differ from those of the model: it is scored with a scaler fitted on the %s "
        "training rows of this series, and the prompt describes it as: %s",
        f"{scaler.rows[1] - scaler.rows[0]:,}",
        description,
    )
    if scaled.frequency != saved.config.frequency:
        log.warning("the frequency is %s; in training it was %s", scaled.frequency, saved.config.frequency)
    return description


def evaluate_saved(
    saved: SavedModel,
    source: BackboneSource,
    place: BackboneParams,
    data: WindowData,
    evaluation: EvaluationParams,
    workers: WorkersParams | None = None,
) -> TestResult:
    """Test result of a saved model, loaded on the device of this machine.

    Args:
        saved: the model folder.
        source: loads the backbone.
        place: another location of the backbone.
        data: scaled series, scaler and window index.
        evaluation: the parameter group `evaluation`.
        workers: the parameter group `workers`; None: the network runs in this process.

    Raises the errors of `refuse_other_windows` and of `TimeLLM.from_saved`.
    """
    refuse_other_windows(saved, data)  # before the backbone is loaded
    description = describe_for(saved, data.scaled, data.scaler)
    compute = compute_as_trained(saved.config.precision)
    model = TimeLLM.from_saved(saved, source, compute, place, description, correction=True, workers=workers)
    if evaluation.alpha is not None:
        if not model.linear.is_fitted:
            raise ModelError(
                "this model has no linear part: Time-LLM forecasts alone, without a weight",
                where="evaluation.alpha",
                do="set evaluation.alpha=null",
            )
        model.alpha = evaluation.alpha
    return run_test(saved, model, data, evaluation)


def run_test(saved: SavedModel, model: TimeLLM, data: WindowData, evaluation: EvaluationParams) -> TestResult:
    """Test result: every indexed test window is scored once with the model, its parts, and the baselines."""
    config, scaled, scaler = saved.config, data.scaled, data.scaler
    test = data.windows("test")
    season = evaluation.season or season_length(scaled.frequency)
    baselines = baseline_forecasts(data, config.window, season)
    weights = {"timellm": model.alpha}
    if model.linear.is_fitted:
        weights |= {"linear_part": 0.0, "correction": 1.0}
    scores = {name: TestScores(test, scaler) for name in weights}
    calibrated = saved.scaler.channels == scaler.channels and model.alpha == config.alpha
    intervals = saved.intervals() if calibrated else None
    coverage = Coverage(intervals)
    for parts in model.forecast_parts(test, evaluation.batch_size, label="test"):
        for name, alpha in weights.items():
            scores[name].add(parts.which, parts.forecast(alpha), parts.truth)
        coverage.add(parts.forecast(model.alpha) - parts.truth, test.channel(parts.which))
    scores |= {name: score_test(forecast, test, scaler) for name, forecast in baselines.items()}
    models = compare(scores, season_errors(scaled, scaler.rows, season))
    metrics = {
        "training_id": config.training_id,
        "best_step": config.best_step,
        "raw_sha256": scaled.source.sha256,
        "num_windows": len(test),
        "test_step": data.index.facts.test_step,
        "season": season,
        "alpha": model.alpha,
        "alpha_reason": config.alpha_reason if model.alpha == config.alpha else "set by evaluation.alpha",
        "models": models,
        "differences": differences(scores, test.origins_per_horizon),
        "coverage": coverage.report(),
        "intervals": intervals.basis if intervals else "",
    }
    shipped = scores["timellm"]
    windows = dict(zip(test.names, shipped.sums.windows.tolist()))
    by_series = series_table(models, windows, dict(zip(test.names, shipped.truths.tolist())))
    seasonal, target = baselines["seasonal_naive"], config.window.target
    examples = make_examples(model, test, scaler, seasonal, by_series, target, evaluation.batch_size)
    return TestResult(metrics, _origins(scores, scaled), by_series, examples)


def _prefixed(name: str, group: BaseModel) -> dict[str, Any]:
    """Values of a parameter group by their full names."""
    return {f"{name}.{key}": value for key, value in group.model_dump().items()}


def baseline_forecasts(data: WindowData, window: WindowParams, season: int) -> dict[str, Forecast]:
    """Baselines by name. Each maps windows [batch, seq_len] to forecasts [batch, pred_len].

    The linear baseline is a ridge regression on every training window, independent of `window.window_step`, to be as
    strong as possible.
    """
    return {
        "naive": lambda x: naive(x, window.pred_len),
        "seasonal_naive": lambda x: seasonal_naive(x, window.pred_len, season),
        "linear": fit_ridge(Task.of(data, window, season)).forecast,
    }


def refuse_other_windows(saved: SavedModel, data: WindowData) -> None:
    """Raise ModelError if windows and model have different parameters, or if the model was trained on test rows.

    Test rows of another file that are not newer than the training rows only cause a warning: they may belong to another
    series.
    """
    saved.refuse_other_facts(data.scaled)
    facts, config = data.index.facts, saved.config
    window = {"seq_len", "pred_len", "features", "target"}
    indexed = facts.model_dump(include=window) | _prefixed("split", facts.split)
    trained = config.window.model_dump(include=window) | _prefixed("split", config.split)
    differing = [
        f"{name}: {indexed[name]} in the window index, {trained[name]} in the model"
        for name in indexed
        if indexed[name] != trained[name]
    ]
    if differing:
        raise ModelError(
            f"the windows were not built with the parameters of the model: {'; '.join(differing)}",
            where="window_index",
            do="run the whole pipeline, which uses the parameters of the model: kedro run --pipeline evaluate",
        )
    first_truth = data.scaled.stamps_in_file[data.windows("test").origins()[0] + 1]
    if not config.has_seen(first_truth):
        return
    overlap = f"the test starts at {first_truth}; the model was trained and chosen on rows until {config.seen_until}"
    if data.scaled.source.sha256 is not None and data.scaled.source.sha256 == config.trained_on.sha256:
        raise ModelError(
            f"the model was trained or chosen on rows of this test: {overlap}",
            where=data.scaled.source.path,
            do="run the whole pipeline, which uses the split of the model: kedro run --pipeline evaluate",
        )
    log.warning(
        "%s. If this file contains rows of the training file, the errors are too small",
        overlap,
    )


def score_test(forecast: Forecast, test: Windows, scaler: Scaler) -> TestScores:
    """Scores of a baseline over all test windows."""
    scores = TestScores(test, scaler)
    for which in in_order(len(test), CHUNK):
        x, y = test.gather(which)
        scores.add(which, forecast(x), y)
    return scores


def compare(scores: dict[str, TestScores], season: np.ndarray) -> dict[str, Any]:
    """Errors and skill of each model by name.

    The skill is 1 - MSE / MSE of seasonal naive (scaled units).

    Args:
        scores: scores of each model.
        season: result of `season_errors`.
    """
    reports = {name: model_scores.report(season) for name, model_scores in scores.items()}
    base = reports["seasonal_naive"]["scaled"]["mse"]
    for report in reports.values():
        report["skill"] = 1 - report["scaled"]["mse"] / base if base else None
    return reports


def differences(scores: dict[str, TestScores], block: int) -> dict[str, Any]:
    """MSE of the shipped forecast minus that of each other model (scaled units), with interval and verdict.

    Args:
        scores: scores of each model.
        block: origins per horizon, rounded up; see `compare_origins`.

    Returns:
        `Comparison` of each other model as plain values.
    """
    timellm, _ = scores["timellm"].origin_errors()
    return {
        name: compare_origins(timellm, other.origin_errors()[0], block).model_dump()
        for name, other in scores.items()
        if name != "timellm"
    }


def report_table(metrics: dict[str, Any]) -> str:
    """Text table of the errors of all models for the log, sorted by MSE."""
    models = metrics["models"]
    heads = ("MSE", "MAE", "RMSE", "MASE", "sMAPE", "WAPE")
    lines = [f"  {'':<15}" + "".join(f"{head:>9}" for head in heads) + "    skill   MSE of timellm minus its MSE"]
    for name in sorted(models, key=lambda name: models[name]["scaled"]["mse"]):
        scaled, original = models[name]["scaled"], models[name]["original"]
        values = [scaled[key] for key in ("mse", "mae", "rmse")] + [original[key] for key in ("mase", "smape", "wape")]
        shown = "".join(f"{'-':>9}" if value is None else f"{value:>9.4g}" for value in values)
        skill = models[name]["skill"]
        lines.append(
            f"  {name:<15}{shown}{'-' if skill is None else f'{skill:+.1%}':>9}   {_difference(metrics, name)}"
        )
    lines.append(
        "  MSE, MAE, RMSE in scaled units; MASE relative to seasonal naive in training; sMAPE, WAPE in percent"
    )
    if "linear_part" in models:
        lines.append("  timellm (shipped) = linear_part + alpha * correction; in the row `correction`, alpha is 1")
        lines.append(f"  alpha {metrics['alpha']:.3f}: {metrics['alpha_reason']}")
    covered = [
        f"{level} %: {counts['inside']:.1%}" for level, counts in metrics["coverage"].items() if level in ("80", "95")
    ]
    if covered:
        lines.append(f"  true values inside the prediction intervals of {', '.join(covered)}")
        lines.append(f"  {metrics['intervals']}")
    return "\n".join(lines)


def _difference(metrics: dict[str, Any], name: str) -> str:
    found = metrics["differences"].get(name)
    if found is None:
        return ""
    return Comparison.model_validate(found).summary()


def _origins(scores: dict[str, TestScores], scaled: Panel) -> pd.DataFrame:
    """Errors of each origin and model in scaled units: `window_end, model, mse, mae`."""
    ends = scaled.stamps[scores["timellm"].origins]
    tables = []
    for name, model_scores in scores.items():
        mse, mae = model_scores.origin_errors()
        tables.append(pd.DataFrame({"window_end": ends, "model": name, "mse": mse, "mae": mae}))
    return pd.concat(tables, ignore_index=True)
