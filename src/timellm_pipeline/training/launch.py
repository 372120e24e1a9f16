"""Train with as many worker processes as the parameters say, or write their inputs for torchrun."""

import logging
import shutil
import uuid
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from timellm_pipeline.errors import ParameterError
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.parameters.workers import refuse_idle_workers
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.handoff import Handoff
from timellm_pipeline.training.preparation import Training, prepare_training
from timellm_pipeline.training.result import TrainingResult, read_finished
from timellm_pipeline.training.run import train_model
from timellm_pipeline.workers.elastic import number_of_workers, run_workers
from timellm_pipeline.workers.folder import WorkFolder

log = logging.getLogger(__name__)

INPUTS = "worker_inputs"  # in a run folder
LOCK = ".lock"  # in the folder of a job; its starting process has it


def train(
    data: TrainingData,
    parameters: Parameters,
    source: BackboneSource,
    store: CheckpointStore,
    version: str,
    start: SavedModel | None = None,
    linear: LinearPart | None = None,
) -> TrainingResult:
    """As `train_model`, with as many workers as the parameters say. Raises TrainingError for several on Windows."""
    processes = number_of_workers(parameters.workers, parameters.training.accumulate)
    refuse_idle_workers(processes, parameters.training)
    if processes == 1:
        return train_model(data, parameters, source, store, version, start, linear)
    training = prepare_training(data, parameters, source, store, start, linear)
    run_folder = training.run.folder
    is_finished = read_finished(run_folder) is not None
    newest = None if is_finished or not run_folder.is_dir() else training.run.newest()
    trains = parameters.training.force or not is_finished
    if trains:
        store.root.mkdir(parents=True, exist_ok=True)
        _remove_old(run_folder)
        folder = WorkFolder(run_folder.with_name(f".work-{training.training_id}-{uuid.uuid4().hex[:12]}"))
        folder.path.mkdir(parents=True)
        try:
            with FileLock(folder.path / LOCK):
                _handoff(folder, training, store, version, start).write()
                run_workers(folder, parameters.workers, processes)
        finally:
            shutil.rmtree(folder.path, ignore_errors=True)
    once = parameters.training.model_copy(update={"force": False})
    result = train_model(data, parameters.model_copy(update={"training": once}), source, store, version, start, linear)
    first = newest.step if newest is not None else 0
    steps_run = result.record.steps - first if trains else 0
    return replace(result, record=result.record.model_copy(update={"steps_run": steps_run}))


def write_inputs(training: Training, store: CheckpointStore, version: str) -> Path:
    """Write the inputs of a training for workers that torchrun starts. Returns their folder, in the run folder.

    Raises ParameterError for `training.force`, and CheckpointError while the training runs.
    """
    if training.parameters.training.force:
        raise ParameterError(
            "workers that torchrun starts cannot discard a finished training: each start would discard it again",
            where="training.force",
            do="set training.force=false, and remove the folder of the finished training if it should be repeated",
        )
    folder = WorkFolder(training.run.folder / INPUTS)
    folder.path.mkdir(parents=True, exist_ok=True)
    with training.run.alone():  # the first worker has this lock
        folder.clear()
        _handoff(folder, training, store, version, None).write()
    return folder.path


def _handoff(
    folder: WorkFolder, training: Training, store: CheckpointStore, version: str, start: SavedModel | None
) -> Handoff:
    place = None if start is None else start.folder
    finished = read_finished(training.run.folder) if training.parameters.training.force else None
    discarded = None if finished is None else finished.trained_in
    return Handoff(
        folder, training.data, training.parameters, training.source, store, version, place, training.linear, discarded
    )


def _remove_old(run_folder: Path) -> None:
    """Remove the inputs of workers whose starting process was killed: nobody has their lock."""
    for path in run_folder.parent.glob(f".work-{run_folder.name}-*"):
        try:
            with FileLock(path / LOCK, timeout=0):
                shutil.rmtree(path, ignore_errors=True)
        except (Timeout, OSError, NotImplementedError):  # in use, or a drive without locks
            continue
