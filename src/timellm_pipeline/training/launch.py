"""Train with as many worker processes as the parameters say, or write their inputs for torchrun."""

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

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
        folder = WorkFolder(run_folder.with_name(f".work-{training.training_id}-{os.getpid()}"))
        try:
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
    """Write the inputs of a training for workers that torchrun starts. Returns their folder, in the run folder."""
    folder = WorkFolder(training.run.folder / INPUTS)
    _handoff(folder, training, store, version, None).write()
    return folder.path


def _handoff(
    folder: WorkFolder, training: Training, store: CheckpointStore, version: str, start: SavedModel | None
) -> Handoff:
    place = None if start is None else start.folder
    return Handoff(folder, training.data, training.parameters, training.source, store, version, place, training.linear)


def _remove_old(run_folder: Path) -> None:
    """Remove the inputs of workers whose starting process was killed."""
    for path in run_folder.parent.glob(f".work-{run_folder.name}-*"):
        try:
            os.kill(int(path.name.rpartition("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (OSError, ValueError):  # a process of another user, or not our name
            continue
