"""Compare variants of a training on the same windows: does the language model help on these data?

Each variant is trained with each seed, in checkpoint folders of its own, so an interrupted comparison resumes. The
errors of a variant at an origin are averaged over its seeds before the paired test: seeds are not independent data. On
validation, errors have the weight of the correction that the other groups of origins give (evaluation/correction.py);
the test has the shipped forecasts.
"""

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

from timellm_pipeline.durations import format_duration
from timellm_pipeline.evaluation.correction import choose_alpha, part_errors
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.evaluation.significance import Comparison, compare_origins
from timellm_pipeline.linear.fit import fit_linear, inputs_id_of
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import Parameters, parse_parameters
from timellm_pipeline.series.plan import plan_run
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.launch import train
from timellm_pipeline.training.preparation import prepare_training
from timellm_pipeline.training.result import TrainingResult

log = logging.getLogger(__name__)

LINEAR = "linear part alone"


@dataclass(frozen=True)
class SeedResult:
    """One training of a variant.

    Attributes:
        validation: MSE of each validation origin, with a weight of the correction that the origin did not choose.
        test: MSE of each test origin, of the shipped forecasts.
        linear_validation, linear_test: the same of the linear part.
    """

    result: TrainingResult
    validation: Float[np.ndarray, "origins"]
    test: Float[np.ndarray, "origins"]
    linear_validation: Float[np.ndarray, "origins"]
    linear_test: Float[np.ndarray, "origins"]

    @property
    def seconds(self) -> float:
        """Seconds of all steps, from the median of the history."""
        return float(self.result.history["seconds_per_step"].median()) * self.result.record.steps


class VariantReport(BaseModel):
    """Result of one variant, averaged over its seeds.

    Attributes:
        changes: parameters that the variant changes.
        alphas: weight of the correction of each seed.
        training_ids: training id of each seed.
        validation_mse, test_mse: mean over origins and seeds.
        against_linear: validation, variant minus its linear part.
        against_reference: validation, variant minus the first variant; None for the first.
        test_against_linear: test, shipped forecasts minus linear part.
        trainable: number of trained weights.
        seconds: duration of the steps of one training.
    """

    model_config = ConfigDict(frozen=True)

    changes: dict[str, Any]
    alphas: list[float]
    training_ids: list[str]
    validation_mse: float
    test_mse: float
    against_linear: Comparison
    against_reference: Comparison | None
    test_against_linear: Comparison
    trainable: int
    seconds: float


class CompareReport(BaseModel):
    """Result of a comparison.

    Attributes:
        seeds: seeds of each variant.
        linear_validation_mse, linear_test_mse: errors of the linear part of the first variant.
        variants: report of each variant by name.
        best: the variant with the smallest validation MSE, or the linear part.
    """

    model_config = ConfigDict(frozen=True)

    seeds: list[int]
    linear_validation_mse: float
    linear_test_mse: float
    variants: dict[str, VariantReport]
    best: str

    def table(self) -> str:
        """The comparison as a Markdown table with the answers below it."""
        heads = (
            "variant",
            "alpha of each seed",
            "validation MSE",
            "minus linear part",
            "test MSE",
            "minus linear part",
        )
        rows = [(LINEAR, "", f"{self.linear_validation_mse:.4f}", "", f"{self.linear_test_mse:.4f}", "", "", "")]
        for name, variant in self.variants.items():
            alphas = " ".join(f"{alpha:.2f}" for alpha in variant.alphas)
            validation = (f"{variant.validation_mse:.4f}", variant.against_linear.summary())
            test = (f"{variant.test_mse:.4f}", variant.test_against_linear.summary())
            cost = (f"{variant.trainable:,}", format_duration(variant.seconds))
            rows.append((name, alphas, *validation, *test, *cost))
        lines = [" | ".join(row) for row in [(*heads, "trained weights", "one training"), ("---",) * 8, *rows]]
        reference = next(iter(self.variants))
        answers = [
            f"- `{name}` minus `{reference}`, validation MSE: {variant.against_reference.summary()}"
            for name, variant in self.variants.items()
            if variant.against_reference is not None
        ]
        chosen = (
            f"Smallest validation MSE: {self.best}. Errors are averaged over {len(self.seeds)} seed(s) before a test."
        )
        return "\n".join([*(f"| {line} |" for line in lines), "", *answers, "", chosen, ""])


def compare_variants(
    data: TrainingData, parameters: Parameters, source: BackboneSource, store: CheckpointStore, version: str
) -> tuple[CompareReport, pd.DataFrame]:
    """The report of all variants, and the errors of each origin: `split, variant, seed, origin, mse`.

    Args:
        version: name of this run, recorded in the trainings.

    Raises UserError as `train_model` does, for every variant before the first one is trained.
    """
    variants = {name: _changed(parameters, changes) for name, changes in parameters.compare.variants.items()}
    plans = {name: _planned(data, changed) for name, changed in variants.items()}
    for name, changed in variants.items():
        prepare_training(plans[name], changed, source, store)
    parts: dict[str, LinearPart] = {}
    results: dict[str, list[SeedResult]] = {}
    seeds = [parameters.training.seed + number for number in range(parameters.compare.num_seeds)]
    for name, changed in variants.items():
        inputs_id = inputs_id_of(data, changed.model, changed.evaluation)
        if inputs_id not in parts:
            parts[inputs_id] = fit_linear(data, changed.window, changed.model, changed.evaluation)
        results[name] = []
        for seed in seeds:
            log.info("variant `%s`, seed %s", name, seed)
            training = changed.training.model_copy(update={"seed": seed})
            seeded = changed.model_copy(update={"training": training})
            results[name].append(_run(plans[name], seeded, source, store, version, parts[inputs_id]))
    return _report(data, parameters, seeds, results), _origins(seeds, results)


def _planned(data: TrainingData, parameters: Parameters) -> TrainingData:
    """The data with the run plan of a variant: it may change batches and steps, but not windows."""
    window, training, evaluation = parameters.window, parameters.training, parameters.evaluation
    return replace(
        data, plan=plan_run(data.index, data.plan.num_rows, data.plan.train_rows, window, training, evaluation)
    )


def _changed(parameters: Parameters, changes: dict[str, Any]) -> Parameters:
    """The parameters with the changes of a variant. Raises ParameterError for an unknown parameter or a wrong value."""
    groups = parameters.model_dump(mode="json")
    for name, value in changes.items():
        group, key = name.split(".")
        groups[group] = {**groups[group], key: value}
    return parse_parameters({name: value for name, value in groups.items() if value is not None}, "compare.variants")


def _run(
    data: TrainingData,
    parameters: Parameters,
    source: BackboneSource,
    store: CheckpointStore,
    version: str,
    linear: LinearPart,
) -> SeedResult:
    """Train one variant with one seed, and compute its errors by origin. No model version is written."""
    result = train(data, parameters, source, store, version, linear=linear)
    evaluation = parameters.evaluation
    with tempfile.TemporaryDirectory() as folder:
        result.model.write(Path(folder) / "model")
        saved = SavedModel.read(Path(folder) / "model")
        compute = compute_as_trained(saved.config.precision)
        place, workers = parameters.backbone, parameters.workers
        model = TimeLLM.from_saved(saved, source, compute, place, correction=True, workers=workers)
        validation, test = data.windows("validation"), data.windows("test")
        choice = choose_alpha(part_errors(model, validation, evaluation.batch_size))
        shipped, alone = TestScores(test, data.scaler), TestScores(test, data.scaler)
        for parts in model.forecast_parts(test, evaluation.batch_size, label="test"):
            shipped.add(parts.which, parts.forecast(model.alpha), parts.truth)
            alone.add(parts.which, parts.forecast(0.0), parts.truth)
    # Without a linear part Time-LLM forecasts alone: its weight is 1.
    corrected = choice.corrected if linear.is_fitted else choice.whole
    return SeedResult(result, corrected, shipped.origin_errors()[0], choice.linear, alone.origin_errors()[0])


def _report(
    data: TrainingData, parameters: Parameters, seeds: list[int], results: dict[str, list[SeedResult]]
) -> CompareReport:
    blocks = {split: data.windows(split).origins_per_horizon for split in ("validation", "test")}
    reference = _mean(next(iter(results.values())), "validation")
    reports = {}
    for number, (name, runs) in enumerate(results.items()):
        validation, test = _mean(runs, "validation"), _mean(runs, "test")
        reports[name] = VariantReport(
            changes=parameters.compare.variants[name],
            alphas=[run.result.model.config.alpha for run in runs],
            training_ids=[run.result.record.training_id for run in runs],
            validation_mse=float(validation.mean()),
            test_mse=float(test.mean()),
            against_linear=compare_origins(validation, _mean(runs, "linear_validation"), blocks["validation"]),
            against_reference=compare_origins(validation, reference, blocks["validation"]) if number else None,
            test_against_linear=compare_origins(test, _mean(runs, "linear_test"), blocks["test"]),
            trainable=runs[0].result.record.parameters["trainable"],
            seconds=float(np.mean([run.seconds for run in runs])),
        )
    first = next(iter(results.values()))
    linear_mse = float(_mean(first, "linear_validation").mean())
    errors = {LINEAR: linear_mse} | {name: report.validation_mse for name, report in reports.items()}
    return CompareReport(
        seeds=seeds,
        linear_validation_mse=linear_mse,
        linear_test_mse=float(_mean(first, "linear_test").mean()),
        variants=reports,
        best=min(errors, key=lambda name: errors[name]),
    )


def _mean(runs: list[SeedResult], name: str) -> Float[np.ndarray, "origins"]:
    """Errors by origin, averaged over seeds."""
    mean: np.ndarray = np.mean([getattr(run, name) for run in runs], axis=0)
    return mean


def _origins(seeds: list[int], results: dict[str, list[SeedResult]]) -> pd.DataFrame:
    tables = [
        pd.DataFrame({"split": split, "variant": name, "seed": seed, "origin": np.arange(len(errors)), "mse": errors})
        for name, runs in results.items()
        for seed, run in zip(seeds, runs, strict=True)
        for split, errors in (("validation", run.validation), ("test", run.test))
    ]
    return pd.concat(tables, ignore_index=True)
