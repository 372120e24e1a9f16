"""What a training is, known before anything heavy is loaded: its ids, its description, its compute."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

import timellm_pipeline
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute, resolve_compute
from timellm_pipeline.model.prompt import describe_scaled
from timellm_pipeline.model.quantized import refuse_quantization
from timellm_pipeline.model.saved import WEIGHTS, ModelConfig, SavedModel
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.series.borders import split_borders
from timellm_pipeline.series.identity import data_identity, digest_of
from timellm_pipeline.series.plan import RunPlan, plan_run
from timellm_pipeline.series.scaling import Scaler, fit_scaler, scale_series
from timellm_pipeline.series.validation import validate_series
from timellm_pipeline.series.windows import build_window_index, refuse_mixed_data, used_channels
from timellm_pipeline.training.checkpoint import CheckpointStore, RunFolder
from timellm_pipeline.training.identity import content_facts, training_facts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingInputs:
    """The data of one training, all of one data id."""

    scaled_series: pd.DataFrame
    scaler: Scaler
    window_index: pd.DataFrame
    plan: RunPlan

    @classmethod
    def of(cls, raw: pd.DataFrame, parameters: Parameters) -> "TrainingInputs":
        """What the data pipeline makes of a table, without Kedro. Raises UserError for a table that cannot be used."""
        window, evaluation = parameters.window, parameters.evaluation
        series = validate_series(raw, parameters.data, window)
        channels = used_channels([name for name in series.columns if name != "date"], window)
        borders = split_borders(len(series), parameters.split, window, frequency=series.attrs["frequency"])
        data_id = data_identity(series, borders, window, evaluation)
        scaler = fit_scaler(series, channels, borders, data_id)
        index = build_window_index(channels, borders, window, evaluation, data_id, series.attrs.get("gaps"))
        counts = {name: int((index["split"] == name).sum()) for name in ("train", "validation", "test")}
        plan = plan_run(counts, len(channels), borders, window, parameters.training, evaluation, data_id)
        return cls(scale_series(series, scaler), scaler, index, plan)

    @property
    def seen_until(self) -> str:
        """Time stamp of the newest row that trains or chooses the model."""
        used = self.window_index.loc[self.window_index["split"] != "test", "start"].max()
        row = int(used) + self.plan.seq_len + self.plan.pred_len - 1
        return str(self.scaled_series["date"].iloc[row])


@dataclass(frozen=True)
class Training:
    """One training as it stands before its first step.

    Attributes:
        facts: everything that decides the result; their digest is the training id.
        content: what computes; its digest is the content id.
        run: the folder of its checkpoints.
    """

    inputs: TrainingInputs
    parameters: Parameters
    compute: Compute
    description: str
    backbone_identity: dict[str, Any]
    facts: dict[str, Any]
    content: dict[str, Any]
    run: RunFolder

    @property
    def training_id(self) -> str:
        """Name of the checkpoint folder."""
        return self.run.training_id

    def model_config(
        self, *, content_id: str, counts: Mapping[str, int], best_step: int, validation_mse: float | None
    ) -> ModelConfig:
        """The config of a model made from one of this training's checkpoints."""
        parameters = self.parameters
        return ModelConfig(
            package_version=timellm_pipeline.__version__,
            training_id=self.training_id,
            content_id=content_id,
            data=parameters.data,
            split=parameters.split,
            window=parameters.window,
            prompt=parameters.prompt,
            model=parameters.model,
            backbone=parameters.backbone,
            evaluation=parameters.evaluation,
            precision=self.compute.precision,
            backbone_identity=self.backbone_identity,
            description=self.description,
            channels=self.inputs.scaler.channels,
            frequency=self.inputs.scaled_series.attrs["frequency"],
            seen_until=self.inputs.seen_until,
            parameters=dict(counts),
            best_step=best_step,
            validation_mse=validation_mse,
        )


def prepare_training(
    inputs: TrainingInputs,
    parameters: Parameters,
    source: BackboneSource,
    store: CheckpointStore,
    start: SavedModel | None = None,
) -> Training:
    """Check that the inputs belong together, and find out what this training is.

    Raises UserError for mixed data, a precision the device lacks, or a backbone that cannot be identified.
    """
    refuse_mixed_data(
        scaled_series=inputs.scaled_series.attrs.get("data_id"),
        scaler=inputs.scaler.data_id,
        window_index=inputs.window_index.attrs.get("data_id"),
        run_plan=inputs.plan.data_id,
    )
    compute = resolve_compute(parameters.training.precision)
    refuse_quantization(parameters.backbone, compute)
    identity = source.identity(parameters.backbone)
    description = describe_scaled(parameters.prompt, inputs.scaled_series, inputs.scaler)
    facts = training_facts(
        scaled_series=inputs.scaled_series,
        window_index=inputs.window_index,
        description=description,
        window=parameters.window,
        prompt=parameters.prompt,
        model=parameters.model,
        backbone=parameters.backbone,
        training=parameters.training,
        evaluation=parameters.evaluation,
        backbone_identity=identity,
        compute=compute,
    )
    if start is not None:
        facts["start"] = start.sha256[WEIGHTS]
    training_id = digest_of(facts)
    content = content_facts(training_id, parameters.backbone, compute)
    log.info("training id %s · content id %s", training_id[:16], digest_of(content)[:16])
    return Training(inputs, parameters, compute, description, identity, facts, content, run=store.run(training_id))
