"""Does the text about a series help a language model to forecast series without a history? Generated data, three seeds.

    python benchmarks/cold_start.py

Stores of two kinds: after a shift of its level, a grocery store returns to its old level within days, and a fashion
store keeps the new one. A window shows the shift, not the kind; the static column `kind` names it. Two stores
of five open just before the test, so that no window of theirs is in training. docs/experiments.md has the predictions
that were written before the first run.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from peers import environment
from timellm_pipeline.evaluation.correction import choose_alpha, part_errors
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.evaluation.significance import compare_origins
from timellm_pipeline.linear.fit import fit_linear
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import Parameters, parse_parameters
from timellm_pipeline.series.prepare import TrainingData, prepare
from timellm_pipeline.series.windows import Windows
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model

DAYS, VALIDATION, TEST = 760, 380, 620  # rows; first rows of validation and test
LOOKBACK, HORIZON = 42, 7
HALF_LIFE = {"grocery": 2.0, "fashion": 60.0}  # days until half of a shift is gone
VARIANTS: dict[str, dict[str, Any]] = {
    "language model": {},
    "language model, text": {"prompt": {"series_facts": "static"}},
    "random weights, text": {"prompt": {"series_facts": "static"}, "backbone": {"weights": "random"}},
    "no language model": {"backbone": {"name": "none"}},
}
FORECASTS = ("linear", "shipped", "fitted")


def sales(num_stores: int) -> pd.DataFrame:
    """Daily sales; the last two fifths of the stores open 50 days before the test."""
    rng, tables = np.random.default_rng(0), []
    for number in range(num_stores):
        kind = list(HALF_LIFE)[number % 2]
        kept, shift, level = 0.5 ** (1 / HALF_LIFE[kind]), np.zeros(DAYS), 0.0
        for day in range(DAYS):
            level = level * kept + (rng.normal(0, 1.0) if rng.random() < 0.08 else 0.0)
            shift[day] = level
        week = 0.3 * np.sin((np.arange(DAYS) + rng.integers(7)) * 2 * np.pi / 7)
        sold = rng.uniform(50, 200) * (5 + week + shift + rng.normal(0, 0.15, DAYS))
        first = TEST - 50 if number >= 3 * num_stores // 5 else 0
        days = pd.date_range("2022-01-01", periods=DAYS, freq="D")
        tables.append(pd.DataFrame({"unique_id": f"store {number}", "ds": days, "y": sold, "kind": kind}).iloc[first:])
    return pd.concat(tables, ignore_index=True)


def parameters_of(variant: dict[str, Any], steps: int, seed: int) -> Parameters:
    """The parameters of one training."""
    start = pd.Timestamp("2022-01-01")
    groups: dict[str, dict[str, Any]] = {
        "data": {"static_columns": ["kind"]},
        "window": {"seq_len": LOOKBACK, "pred_len": HORIZON, "patch_len": 7, "stride": 7, "window_step": 3},
        "split": {
            "method": "dates",
            "validation_from": str(start + pd.Timedelta(days=VALIDATION)),
            "test_from": str(start + pd.Timedelta(days=TEST)),
        },
        "backbone": {"layers": 2},
        "prompt": {},
        "training": {"max_steps": steps, "max_epochs": 100, "save_steps": steps, "log_steps": 100, "seed": seed},
        "evaluation": {"validation_step": 7, "test_step": 7},
    }
    return parse_parameters({name: {**group, **variant.get(name, {})} for name, group in groups.items()})


def errors_of(model: TimeLLM, fitted: float, test: Windows, data: TrainingData) -> dict[str, np.ndarray]:
    """MSE of each test origin: of the linear part, the shipped forecast, and with the weight fitted on validation."""
    scores = {name: TestScores(test, data.scaler) for name in FORECASTS}
    for parts in model.forecast_parts(test, 64, label="test"):
        for name, alpha in zip(FORECASTS, (0.0, model.alpha, fitted)):
            scores[name].add(parts.which, parts.forecast(alpha), parts.truth)
    return {name: one.origin_errors()[0] for name, one in scores.items()}


def run(
    data: TrainingData, parameters: Parameters, linear: Any, groups: dict[str, Windows]
) -> tuple[dict[str, dict[str, np.ndarray]], float]:
    """Errors of one training by group of series, and the weight that validation fits."""
    with tempfile.TemporaryDirectory() as name:
        source = BackboneSource(Path(name) / "cache")
        result = train_model(data, parameters, source, CheckpointStore(Path(name) / "steps"), "v", linear=linear)
        result.model.write(Path(name) / "model")
        saved = SavedModel.read(Path(name) / "model")
        compute = compute_as_trained(saved.config.precision)
        model = TimeLLM.from_saved(saved, source, compute, parameters.backbone, correction=True)
    fitted = choose_alpha(part_errors(model, data.windows("validation"), 64)).alpha.fitted
    return {name: errors_of(model, fitted, windows, data) for name, windows in groups.items()}, fitted


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=int, default=40)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(environment())
    table, found, linear = sales(options.stores), {}, None
    for variant, changes in VARIANTS.items():
        runs, alphas, begun = [], [], time.perf_counter()
        for seed in range(options.seeds):
            parameters = parameters_of(changes, options.steps, seed)
            data = prepare(table, parameters).training
            linear = linear or fit_linear(data, parameters.window, parameters.model, parameters.evaluation)
            test, first_cold = data.windows("test"), 3 * options.stores // 5
            groups = {
                "cold": test.of_series(list(range(first_cold, options.stores))),
                "warm": test.of_series(list(range(first_cold))),
            }
            errors, alpha = run(data, parameters, linear, groups)
            runs.append(errors)
            alphas.append(alpha)
        found[variant] = {
            (group, name): np.mean([errors[group][name] for errors in runs], axis=0)
            for group in groups
            for name in FORECASTS
        }
        mean = {key: float(value.mean()) for key, value in found[variant].items()}
        shown = [
            f"{group}: {' '.join(f'{name} {mean[group, name]:.4f}' for name in FORECASTS)}"
            for group in ("cold", "warm")
        ]
        weights = " ".join(f"{alpha:.2f}" for alpha in alphas)
        seconds = (time.perf_counter() - begun) / options.seeds
        print(f"{variant:<22} weights {weights}   {'   '.join(shown)}   {seconds:.0f} s a training", flush=True)
    print("\ntest MSE of `language model, text` minus that of another, each origin averaged over seeds, 95 % interval")
    text = "language model, text"
    for group in ("cold", "warm"):
        for name in ("shipped", "fitted"):
            mine = found[text][group, name]
            others = {other: found[other][group, name] for other in VARIANTS if other != text}
            others["linear part"] = found[text][group, "linear"]
            for other, errors in others.items():
                print(f"{group}, {name}: minus {other}: {compare_origins(mine, errors, 1).summary()}")


if __name__ == "__main__":
    main()
