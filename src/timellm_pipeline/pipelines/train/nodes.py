"""Nodes of training. They import torch when they run, because the import takes seconds."""

import logging
import shlex
from typing import Any

import pandas as pd

from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.parameters import (
    BackboneParams,
    DataParams,
    EvaluationParams,
    ModelParams,
    Parameters,
    PromptParams,
    SplitParams,
    TrainingParams,
    WindowParams,
    WorkersParams,
)
from timellm_pipeline.parameters.workers import refuse_idle_workers
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.prepare import TrainingData, WindowData
from timellm_pipeline.series.reading import RawFile
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import WindowIndex
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.result import RunManifest, TrainingRecord

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
    workers: WorkersParams,
    backbone_source: BackboneSource,
) -> Parameters:
    """All parameter groups as one value, for training and its manifest.

    A missing backbone and too many workers are errors here, before the linear part is fitted, which may take a minute.
    """
    backbone_source.identity(backbone)
    if workers.processes != "auto":
        refuse_idle_workers(workers.processes, training)
    return Parameters(
        data=data,
        split=split,
        window=window,
        prompt=prompt,
        model=model,
        backbone=backbone,
        training=training,
        evaluation=evaluation,
        workers=workers,
    )


def fit_linear(
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    window: WindowParams,
    model: ModelParams,
    evaluation: EvaluationParams,
) -> LinearPart:
    """The linear part, fitted in closed form on every training window."""
    from timellm_pipeline.linear.fit import fit_linear

    return fit_linear(WindowData(scaled_series, scaler, window_index), window, model, evaluation)


def train(
    settings: Parameters,
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    run_plan: RunPlan,
    linear_part: LinearPart,
    backbone: BackboneSource,
    step_checkpoints: CheckpointStore,
    run_context: dict[str, Any],
) -> tuple[TrainedModel, pd.DataFrame, TrainingRecord]:
    """The trained model, the training history, and the facts for the run manifest."""
    from timellm_pipeline.training import launch

    data = TrainingData(scaled_series, scaler, window_index, run_plan)
    result = launch.train(data, settings, backbone, step_checkpoints, run_context["version"], linear=linear_part)
    return result.model, result.history, result.record


def write_inputs(
    settings: Parameters,
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    run_plan: RunPlan,
    linear_part: LinearPart,
    backbone: BackboneSource,
    step_checkpoints: CheckpointStore,
    run_context: dict[str, Any],
) -> str:
    """Write the inputs of a training to its run folder. Returns the command that starts workers, also logged."""
    from timellm_pipeline.training.launch import write_inputs
    from timellm_pipeline.training.preparation import prepare_training

    data = TrainingData(scaled_series, scaler, window_index, run_plan)
    training = prepare_training(data, settings, backbone, step_checkpoints, linear=linear_part)
    folder = write_inputs(training, step_checkpoints, run_context["version"])
    command = (
        # Without the variable, a restarted group would read the addresses of the dead one (pytorch#135712).
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun --nnodes MACHINES --nproc-per-node GPUS --rdzv-backend c10d "
        "--rdzv-endpoint HOST:29400 --rdzv-id train --max-restarts 3 "
        f"-m timellm_pipeline work {shlex.quote(str(folder.absolute()))}"
    )
    log.info("run on each machine, then `kedro run --pipeline train` with the same parameters:\n  %s", command)
    return command + "\n"


def publish(
    settings: Parameters,
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    run_plan: RunPlan,
    linear_part: LinearPart,
    backbone: BackboneSource,
    step_checkpoints: CheckpointStore,
    checkpoint: str,
) -> tuple[TrainedModel, pd.DataFrame]:
    """The model of a checkpoint of this training, and the history up to its step."""
    from timellm_pipeline.training.preparation import prepare_training
    from timellm_pipeline.training.publish import publish_checkpoint

    data = TrainingData(scaled_series, scaler, window_index, run_plan)
    training = prepare_training(data, settings, backbone, step_checkpoints, linear=linear_part)
    return publish_checkpoint(training, checkpoint)


def import_upstream(
    settings: Parameters,
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    run_plan: RunPlan,
    linear_part: LinearPart,
    backbone: BackboneSource,
    step_checkpoints: CheckpointStore,
    checkpoint: str,
) -> TrainedModel:
    """The model of a state dict that the published code saved."""
    from pathlib import Path

    from timellm_pipeline.training.imported import import_published
    from timellm_pipeline.training.preparation import prepare_training

    data = TrainingData(scaled_series, scaler, window_index, run_plan)
    training = prepare_training(data, settings, backbone, step_checkpoints, linear=linear_part)
    return import_published(training, Path(checkpoint))


def draw_history(training_history: pd.DataFrame) -> Any:
    """The loss curve as a plotly figure."""
    from timellm_pipeline.plots.training import plot_history

    return plot_history(training_history)


def record(
    training_record: TrainingRecord,
    test_metrics: dict[str, Any],
    timellm_model: SavedModel,
    training_history: pd.DataFrame,
    raw_series: RawFile,
    run_context: dict[str, Any],
) -> RunManifest:
    """The run manifest: training, input file, environment, outputs and test errors.

    The raw file is read again: if it changed during the run, the change is recorded and logged.
    """
    from timellm_pipeline.series.identity import digest_of, digest_of_frame
    from timellm_pipeline.training.history import without_times

    unchanged = raw_series.sha256 == training_record.raw_sha256
    if not unchanged:
        log.warning("%s changed during this run", raw_series.path)
    models = test_metrics["models"]
    return RunManifest(
        **dict(training_record),
        raw_path=raw_series.path,
        raw_unchanged=unchanged,
        run=run_context,
        outputs={
            **timellm_model.sha256,
            "test_metrics": digest_of(test_metrics),
            "training_history": digest_of_frame(without_times(training_history)),
        },
        test={
            "num_windows": test_metrics["num_windows"],
            "alpha": test_metrics["alpha"],
            **{name: {key: report["scaled"][key] for key in ("mse", "mae")} for name, report in models.items()},
        },
    )
