"""Nodes around training. torch takes seconds to import, so they import it when they run."""

import logging
from typing import TYPE_CHECKING, Any

import pandas as pd

from timellm_pipeline.parameters import (
    GROUP_MODELS,
    BackboneParams,
    DataParams,
    EvaluationParams,
    ModelParams,
    Parameters,
    PromptParams,
    SplitParams,
    TrainingParams,
    WindowParams,
)
from timellm_pipeline.series.reading import RawFile

if TYPE_CHECKING:
    from timellm_pipeline.training.preparation import TrainingInputs

log = logging.getLogger(__name__)


def gather_settings(
    data: DataParams,
    split: SplitParams,
    window: WindowParams,
    prompt: PromptParams,
    model: ModelParams,
    backbone: BackboneParams,
    training: TrainingParams,
    evaluation: EvaluationParams,
) -> Parameters:
    """Every group as one value, for training and its manifest."""
    return Parameters(
        data=data,
        split=split,
        window=window,
        prompt=prompt,
        model=model,
        backbone=backbone,
        training=training,
        evaluation=evaluation,
    )


def train(
    settings: Any,
    scaled_series: pd.DataFrame,
    scaler: dict[str, Any],
    window_index: pd.DataFrame,
    run_plan: dict[str, Any],
    backbone: Any,
    step_checkpoints: Any,
    run_context: dict[str, Any],
) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """The model that validation chose, the training history, and the facts for the manifest."""
    from timellm_pipeline.training.run import train_model

    inputs = gather_inputs(scaled_series, scaler, window_index, run_plan)
    result = train_model(inputs, settings, backbone, step_checkpoints, run_context["version"])
    resolved = settings.model_dump(mode="json", include=set(GROUP_MODELS))
    return result.model, result.history, {**result.record, "resolved": resolved}


def publish(
    settings: Any,
    scaled_series: pd.DataFrame,
    scaler: dict[str, Any],
    window_index: pd.DataFrame,
    run_plan: dict[str, Any],
    backbone: Any,
    step_checkpoints: Any,
    checkpoint: str,
) -> tuple[Any, pd.DataFrame]:
    """A checkpoint of this very training as a model version, and the history up to it."""
    from timellm_pipeline.training.preparation import prepare_training
    from timellm_pipeline.training.publish import publish_checkpoint

    inputs = gather_inputs(scaled_series, scaler, window_index, run_plan)
    return publish_checkpoint(prepare_training(inputs, settings, backbone, step_checkpoints), checkpoint)


def import_upstream(
    settings: Any,
    scaled_series: pd.DataFrame,
    scaler: dict[str, Any],
    window_index: pd.DataFrame,
    run_plan: dict[str, Any],
    backbone: Any,
    step_checkpoints: Any,
    checkpoint: str,
) -> Any:
    """A state dict of the published code as a model version."""
    from pathlib import Path

    from timellm_pipeline.training.imported import import_published
    from timellm_pipeline.training.preparation import prepare_training

    inputs = gather_inputs(scaled_series, scaler, window_index, run_plan)
    return import_published(prepare_training(inputs, settings, backbone, step_checkpoints), backbone, Path(checkpoint))


def draw_history(training_history: pd.DataFrame) -> Any:
    """The loss curve."""
    from timellm_pipeline.evaluation.plots import plot_history

    return plot_history(training_history)


def record(
    training_record: dict[str, Any],
    test_metrics: dict[str, Any],
    timellm_model: Any,
    training_history: pd.DataFrame,
    raw_series: RawFile,
    run_context: dict[str, Any],
) -> dict[str, Any]:
    """The run manifest: what was done, by what, from what, and how good it is.

    The raw file is read once more: one that changed while the run went on is recorded, and said.
    """
    from timellm_pipeline.series.identity import digest_of, digest_of_frame
    from timellm_pipeline.training.history import without_times

    unchanged = raw_series.sha256 == training_record["raw_sha256"]
    if not unchanged:
        log.warning("%s changed while this run went on", raw_series.path)
    models = test_metrics["models"]
    return {
        **training_record,
        "raw_path": raw_series.path,
        "raw_unchanged": unchanged,
        "run": run_context,
        "outputs": {
            **timellm_model.sha256,
            "test_metrics": digest_of(test_metrics),
            "training_history": digest_of_frame(without_times(training_history)),
        },
        "test": {
            "num_windows": test_metrics["num_windows"],
            **{name: {key: of["scaled"][key] for key in ("mse", "mae")} for name, of in models.items()},
        },
    }


def gather_inputs(
    scaled_series: pd.DataFrame, scaler: dict[str, Any], window_index: pd.DataFrame, run_plan: dict[str, Any]
) -> "TrainingInputs":
    """The data sets of one training as one value."""
    from timellm_pipeline.series.plan import RunPlan
    from timellm_pipeline.series.scaling import Scaler
    from timellm_pipeline.training.preparation import TrainingInputs

    return TrainingInputs(scaled_series, Scaler.model_validate(scaler), window_index, RunPlan.model_validate(run_plan))
