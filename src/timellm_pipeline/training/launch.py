"""Start the workers of a training, and wait for them. The elastic agent of PyTorch restarts a group that fails.

The workers are processes of their own (`python -m timellm_pipeline work FOLDER`), so `kedro run` stays one process.
"""

import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from timellm_pipeline.errors import TrainingError
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import Parameters, WorkersParams
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.handoff import Handoff
from timellm_pipeline.training.preparation import prepare_training
from timellm_pipeline.training.result import TrainingResult, read_finished
from timellm_pipeline.training.run import train_model
from timellm_pipeline.training.signals import STOPPING, TrainingStopped

log = logging.getLogger(__name__)

# A restarted group would read the addresses of the dead one (pytorch#135712).
ELASTIC = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
INTERVAL = 0.5  # seconds between looks at the workers


def train_with_workers(handoff: Handoff, workers: WorkersParams, processes: int) -> int:
    """Train with worker processes of this machine. Returns the number of steps that they ran.

    The result is in the run folder: `train_model` with the same inputs finds it.

    Args:
        handoff: inputs of the training; its folder is created.
        processes: number of workers.

    Raises:
        UserError: the error of a worker, or TrainingError if the workers failed too often.
        TrainingStopped: after a signal, with a checkpoint written.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    handoff.folder.mkdir(parents=True)
    handoff.write()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=handoff.folder.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=workers.restarts,
        monitor_interval=INTERVAL,
    )
    log.info("starting %s workers; inputs in %s", processes, handoff.folder)
    try:
        with _environment({**ELASTIC, "OMP_NUM_THREADS": str(torch.get_num_threads())}), _handlers_kept():
            elastic_launch(config, sys.executable)("-m", "timellm_pipeline", "work", str(handoff.folder))
    except ChildFailedError as error:
        reported = handoff.error()
        if reported is not None:
            raise reported from error
        rank, failure = error.get_first_failure()
        raise TrainingError(
            f"worker {rank} ended with status {failure.exitcode}, and {workers.restarts} restarts failed too",
            where=str(handoff.folder),
            do="read its messages above; the same command resumes from the newest checkpoint",
        ) from error
    except SignalException as error:
        _, message = handoff.stop() or (0, "stopped by a signal")
        raise TrainingStopped(int(error.sigval), message) from error
    stop = handoff.stop()
    if stop is not None:
        raise TrainingStopped(*stop)
    return handoff.steps_run()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the workers. Those of torchrun would change the number of threads, and so the bytes."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """The signal handlers of this process are as before afterwards: the elastic agent leaves its own."""
    before = {number: signal.getsignal(number) for number in {*STOPPING, getattr(signal, "SIGQUIT", signal.SIGINT)}}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was not installed from Python. Only the main thread may install handlers.
            if handler is not None and threading.current_thread() is threading.main_thread():
                signal.signal(number, handler)


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
    processes = number_of_workers(parameters)
    if processes == 1:
        return train_model(data, parameters, source, store, version, start, linear)
    training = prepare_training(data, parameters, source, store, start, linear)
    steps_run = 0
    if parameters.training.force or read_finished(training.run.folder) is None:
        store.root.mkdir(parents=True, exist_ok=True)
        _remove_old(training.run.folder)
        folder = training.run.folder.with_name(f".work-{training.training_id}-{os.getpid()}")
        place = None if start is None else start.folder
        handoff = Handoff(folder, data, parameters, source, store, version, place, training.linear)
        try:
            steps_run = train_with_workers(handoff, parameters.workers, processes)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    once = parameters.training.model_copy(update={"force": False})
    result = train_model(data, parameters.model_copy(update={"training": once}), source, store, version, start, linear)
    record = result.record.model_copy(update={"steps_run": steps_run})
    return replace(result, record=record)


def number_of_workers(parameters: Parameters) -> int:
    """Number of workers: as given, or, for `auto`, the GPUs of this machine, at most one for each step of an update."""
    given = parameters.workers.processes
    processes = max(min(torch.cuda.device_count(), parameters.training.accumulate), 1) if given == "auto" else given
    if processes > 1 and sys.platform == "win32":
        raise TrainingError(
            "several workers are not supported on Windows",
            where="workers.processes",
            do="set workers.processes=1, or use Linux, for example in WSL",
        )
    return processes


def _remove_old(run_folder: Path) -> None:
    """Remove the inputs of workers whose starting process was killed."""
    for path in run_folder.parent.glob(f".work-{run_folder.name}-*"):
        try:
            os.kill(int(path.name.rpartition("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (OSError, ValueError):  # a process of another user, or not our name
            continue
