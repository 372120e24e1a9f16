"""Describe a training before anything large is loaded: its ids, its description and its compute settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import timellm_pipeline
from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.alpha import Alpha
from timellm_pipeline.files import is_link
from timellm_pipeline.linear.fit import fit_linear, inputs_id_of
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute, resolve_compute
from timellm_pipeline.model.folder import LINEAR, WEIGHTS
from timellm_pipeline.model.prompt import describe_scaled
from timellm_pipeline.model.quantized import refuse_quantization
from timellm_pipeline.model.saved import ModelConfig, SavedModel, TrainedOn
from timellm_pipeline.model.sharding import shared
from timellm_pipeline.parameters import DataParams, Parameters
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.plan import plan_run
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.training.checkpoint import CheckpointStore, RunFolder
from timellm_pipeline.training.identity import content_facts, differences, training_facts
from timellm_pipeline.training.result import FINISHED

ONLY_SHOWN = {"num_workers", "save_steps", "checkpoints_per_epoch"}  # in the run plan, but training does not read them


@dataclass(frozen=True)
class Training:
    """One training before its first step.

    Attributes:
        facts: everything that determines the result; their digest is the training id.
        run: the folder of its checkpoints.
        given_linear: the linear part that this run fitted; None: it is fitted when it is needed.
    """

    data: TrainingData
    parameters: Parameters
    source: BackboneSource
    compute: Compute
    description: str
    backbone_identity: dict[str, Any]
    facts: dict[str, Any]
    run: RunFolder
    given_linear: LinearPart | None

    @cached_property
    def linear(self) -> LinearPart:
        """The linear part: that of the run folder if the training has started, so that a training has only one.

        Another processor or library would fit other last digits. Raises ModelError for a damaged file.
        """
        stored, parameters = self.run.folder / LINEAR, self.parameters
        is_discarded = parameters.training.force and (self.run.folder / FINISHED).is_file()
        if stored.is_file() and not is_link(stored) and not is_discarded:
            return LinearPart.from_file(stored)
        return self.given_linear or fit_linear(self.data, parameters.window, parameters.model, parameters.evaluation)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The training id, and the code, versions and device that compute; its digest is the content id."""
        return content_facts(self.training_id, self.linear, self.parameters.backbone, self.compute)

    @property
    def backbone_files(self) -> dict[str, str] | None:
        """Digests of the backbone's files, or None when they are not available."""
        return self.source.file_digests(self.parameters.backbone)

    @property
    def training_id(self) -> str:
        """Name of the checkpoint folder."""
        return self.run.training_id

    def _data_of_forecasts(self) -> DataParams:
        """How another file is read for the model: with the columns that were recognised, and those that it uses."""
        origin, data = self.data.scaled.source, self.parameters.data
        static = data.static_columns if self.parameters.prompt.series_facts == "static" else []
        known = data.known_columns if self.linear.effects else []
        return data.with_columns(origin.id_columns, origin.date_column, origin.value_column).model_copy(
            update={"static_columns": static, "known_columns": known}
        )

    def model_config(
        self,
        *,
        content_id: str,
        counts: Mapping[str, int],
        best_step: int,
        validation_mse: float | None,
        alpha: Alpha,
    ) -> ModelConfig:
        """The config of a model made from one of this training's checkpoints."""
        parameters, origin = self.parameters, self.data.scaled.source
        return ModelConfig(
            package_version=timellm_pipeline.__version__,
            training_id=self.training_id,
            content_id=content_id,
            trained_on=TrainedOn(
                # Not resolved: the file may move behind a link.
                path=os.path.abspath(origin.path) if origin.sha256 else None,  # noqa: PTH100
                sha256=origin.sha256,
                data=self._data_of_forecasts(),
            ),
            split=parameters.split,
            window=parameters.window,
            prompt=parameters.prompt,
            model=parameters.model,
            backbone=parameters.backbone,
            evaluation=parameters.evaluation,
            precision=self.compute.precision,
            backbone_identity=self.backbone_identity,
            backbone_files=self.backbone_files,
            alpha=alpha.alpha,
            alpha_reason=alpha.reason,
            description=self.description,
            channels=self.data.scaler.channels,
            frequency=self.data.scaled.frequency,
            seen_until=str(self.data.seen_until),
            parameters=dict(counts),
            best_step=best_step,
            validation_mse=validation_mse,
        )


def prepare_training(
    data: TrainingData,
    parameters: Parameters,
    source: BackboneSource,
    store: CheckpointStore,
    start: SavedModel | None = None,
    linear: LinearPart | None = None,
) -> Training:
    """The training that data, parameters and backbone define, with its ids.

    Args:
        start: a model that provides the initial weights; None for new weights.
        linear: the linear part of these data and parameters; None: it is fitted when it is needed.

    Raises UserError if the data sets were made with other parameters, if `start` corrects another kind of linear part,
    for a precision that the device does not support, or a backbone that cannot be identified.
    """
    _refuse_other_parameters(data, parameters)
    compute = shared(resolve_compute(parameters.training.precision), parameters.workers.shard)
    refuse_quantization(parameters.backbone, compute)
    identity = source.identity(parameters.backbone)
    description = describe_scaled(parameters.prompt, data.scaled, data.scaler)
    facts = training_facts(data, parameters, description, identity, compute)
    if start is not None:
        refuse_other_linear(start, parameters)
        facts["start"] = start.sha256[WEIGHTS]
    if linear is not None and linear.facts.inputs_id != inputs_id_of(data, parameters.model, parameters.evaluation):
        raise _made_otherwise("linear_part", "")
    run = store.run(digest_of(facts))
    return Training(data, parameters, source, compute, description, identity, facts, run, linear)


def _refuse_other_parameters(data: TrainingData, parameters: Parameters) -> None:
    """Raise ModelError if window index or run plan were made with other parameters, as in a run of a few nodes."""
    window, evaluation = parameters.window, parameters.evaluation
    facts, plan = data.index.facts, data.plan
    wanted = facts.with_parameters(parameters.split, window, evaluation)
    found = differences(wanted.model_dump(), facts.model_dump())
    if not found:
        expected = plan_run(data.index, plan.num_rows, plan.train_rows, window, parameters.training, evaluation)
        found = differences(expected.model_dump(exclude=ONLY_SHOWN), plan.model_dump(exclude=ONLY_SHOWN))
    if found:
        raise _made_otherwise("window_index, run_plan", f": {'; '.join(found)}")


def _made_otherwise(names: str, found: str) -> ModelError:
    return ModelError(
        f"the data sets were made with other parameters than this run{found}",
        where=names,
        do="run the whole pipeline, or make the data sets again: kedro run --pipeline data",
    )


def refuse_other_linear(start: SavedModel, parameters: Parameters) -> None:
    """Raise ModelError if the initial weights correct a linear part and the training does not, or the reverse."""
    kinds = start.config.model.linear, parameters.model.linear
    if "none" in kinds and kinds[0] != kinds[1]:
        raise ModelError(
            f"the initial weights were trained with model.linear={kinds[0]}; this training has {kinds[1]}",
            where=str(start.folder),
            do="set retrain.start=scratch, or the same model.linear",
        )
