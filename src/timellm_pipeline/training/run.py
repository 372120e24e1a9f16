"""Run one training from its data to a model: train, resume, or save a finished result again."""

import logging
from contextlib import nullcontext

from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.parameters import GROUP_MODELS, Parameters
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.training.checkpoint import Checkpoint, CheckpointStore
from timellm_pipeline.training.drift import (
    find_drift,
    open_run,
    refuse_mixed_workers,
    refuse_other_part,
    report_differences,
)
from timellm_pipeline.training.fit import memory_explained, train_to_the_end
from timellm_pipeline.training.history import read_history
from timellm_pipeline.training.preparation import Training, prepare_training
from timellm_pipeline.training.result import Finished, TrainingRecord, TrainingResult, read_finished, read_intervals
from timellm_pipeline.workers.group import WorkerGroup

log = logging.getLogger(__name__)


def train_model(
    data: TrainingData,
    parameters: Parameters,
    source: BackboneSource,
    store: CheckpointStore,
    version: str,
    start: SavedModel | None = None,
    linear: LinearPart | None = None,
) -> TrainingResult:
    """Train, resume, or load a finished result. Returns the trained model, its history and facts.

    Args:
        version: name of the model version that will be saved, recorded for later runs that save it again.
        start: a model that provides the initial weights; None for new weights.
        linear: the linear part; None: it is fitted here.

    Raises:
        UserError: an error that a user can fix, before the backbone is loaded if it can be detected by then.
        StoppedBySignal: after a signal, with a checkpoint written.
    """
    group = WorkerGroup.current()
    training = prepare_training(data, parameters, source, store, start, linear)
    refuse_mixed_workers(training)
    finished = group.from_first(read_finished(training.run.folder))
    log.info("training id %s · content id %s", training.training_id[:16], digest_of(training.content)[:16])
    steps_run = 0
    if finished is None or parameters.training.force:
        if finished is None and group.is_first:
            report_differences(training, store)
        if group.is_first:
            open_run(training)
        with training.run.alone() if group.is_first else nullcontext(), memory_explained(training):
            group.gather(None)  # the folder has its linear part now
            discard_finished = finished is not None
            finished, steps_run = train_to_the_end(training, version, start, discard_finished)
    else:
        log.info(
            "this training is already finished (in version %s): nothing is trained, its model is saved again",
            finished.trained_in,
        )
        find_drift(training, finished.content, training.run.folder, "this finished training")
        refuse_other_part(training, finished.content, training.run.folder)
    best = _best_checkpoint(training, finished)
    intervals = read_intervals(training.run.folder, finished, len(data.scaler.channels), parameters.window.pred_len)
    config = training.model_config(
        content_id=digest_of(finished.content),
        counts=finished.parameters,
        best_step=best.step,
        validation_mse=finished.validation_mse,
        alpha=finished.alpha,
    )
    return TrainingResult(
        model=TrainedModel(config, best.model_weights(), data.scaler, training.linear, intervals),
        history=read_history(finished.history),
        record=TrainingRecord(
            training_id=training.training_id,
            content_id=config.content_id,
            trained=finished.trained_in == version,
            trained_in=finished.trained_in,
            steps_run=steps_run,
            steps=finished.steps,
            resumed_from=[resume.step for resume in finished.resumed],
            resume_chain=finished.resumed,
            best_step=best.step,
            validation_mse=finished.validation_mse,
            alpha=finished.alpha,
            model_selection="average of the last weights" if training.linear.is_fitted else "validation",
            linear_part=training.linear.facts,
            stop_reason=finished.stop_reason,
            parameters=finished.parameters,
            seed=parameters.training.seed,
            data_id=data.plan.data_id,
            raw_sha256=data.scaled.source.sha256,
            backbone=training.backbone_identity,
            content=finished.content,
            resolved=parameters.model_dump(mode="json", include=set(GROUP_MODELS)),
        ),
    )


def _best_checkpoint(training: Training, finished: Finished) -> Checkpoint:
    """The best checkpoint of a finished training."""
    try:
        return training.run.at(finished.best_step)
    except CheckpointError as error:
        raise CheckpointError(
            f"this training has finished, but its best checkpoint is damaged: {error.what}",
            where=error.where,
            do="restore that folder, or train again: --params training.force=true",
        ) from error
