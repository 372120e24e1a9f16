"""Start worker processes of this machine and wait for them. PyTorch's elastic agent restarts a group that fails.

The workers are processes of their own (`python -m timellm_pipeline work FOLDER`), so `kedro run` stays one process.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch

from timellm_pipeline.errors import TrainingError
from timellm_pipeline.parameters import WorkersParams
from timellm_pipeline.workers.folder import WorkFolder
from timellm_pipeline.workers.signals import STOPPING, StoppedBySignal

log = logging.getLogger(__name__)

# A restarted group would read the addresses of the dead one (pytorch#135712).
ELASTIC = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
INTERVAL = 0.5  # seconds between looks at the workers
LONGEST_SAVE = 300  # seconds that workers have after a signal for an update and its checkpoint
PARENT = "TIMELLM_PARENT"  # process that started the workers; a worker may start after its parent has been killed


def number_of_workers(workers: WorkersParams, steps: int | None = None) -> int:
    """Number of workers: as given, or, for `auto`, the GPUs of this machine that the work needs.

    Args:
        workers: the parameter group `workers`.
        steps: steps of an update. `auto` takes as few GPUs as run them in the fewest rounds: of 3 GPUs, 2 for 4 steps.

    Raises TrainingError for several workers on Windows, and for more workers than GPUs.
    """
    gpus = torch.cuda.device_count()
    if workers.processes == "auto":
        rounds = 1 if steps is None else -(-steps // max(min(gpus, steps), 1))
        processes = max(gpus if steps is None else -(-steps // rounds), 1)
    else:
        processes = workers.processes
    if processes > 1 and sys.platform == "win32":
        raise TrainingError(
            "several workers are not supported on Windows",
            where="workers.processes",
            do="set workers.processes=1, or use Linux, for example in WSL",
        )
    refuse_missing_gpus(processes)
    if processes == 1 and workers.shard == "layers":
        raise TrainingError(
            "workers.shard=layers needs several workers, and there is one",
            where="workers.processes",
            do="set workers.processes to the number of GPUs (for training, training.accumulate too), or shard=none",
        )
    return processes


def refuse_missing_gpus(processes: int) -> None:
    """Raise TrainingError if a machine with GPUs has fewer than workers: two cannot share a GPU."""
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise TrainingError(
            f"{processes} workers need as many GPUs; this machine has {gpus}",
            where="workers.processes",
            do=f"set workers.processes to {gpus} or less (torchrun: --nproc-per-node), or auto",
        )


def run_workers(folder: WorkFolder, workers: WorkersParams, processes: int) -> None:
    """Run the job in a folder with worker processes of this machine.

    Args:
        folder: the job; its inputs are complete.
        processes: number of workers.

    Raises:
        UserError: the error of a worker, or TrainingError if the workers failed too often.
        StoppedBySignal: after a signal.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=folder.path.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=workers.restarts,
        monitor_interval=INTERVAL,
        local_addr="localhost",  # the name of a laptop or container may not resolve
        logs_specs=DefaultLogsSpecs(log_dir=str(folder.path / "elastic")),
        **_time_to_save(LaunchConfig, workers),
    )
    log.info("starting %s worker%s; inputs in %s", processes, "s" if processes > 1 else "", folder.path)
    try:
        with _environment(_for_workers()), _handlers_kept():
            elastic_launch(config, sys.executable)("-m", "timellm_pipeline", "work", str(folder.path))
    except ChildFailedError as error:
        reported = folder.error()
        if reported is not None:
            raise reported from error
        rank, failure = error.get_first_failure()
        raise TrainingError(
            f"worker {rank} ended with status {failure.exitcode}, and {workers.restarts} restarts failed too",
            where=str(folder.path),
            do="read its messages above; the same command resumes from the newest checkpoint",
        ) from error
    except SignalException as error:
        _, message = folder.stop() or (0, "stopped by a signal")
        raise StoppedBySignal(int(error.sigval), message) from error
    stop = folder.stop()
    if stop is not None:
        raise StoppedBySignal(*stop)


def _time_to_save(config: Any, workers: WorkersParams) -> dict[str, Any]:
    """How long workers may take to save after a signal, before they are killed; the option exists since torch 2.13."""
    names = {field.name for field in fields(config)}
    return {"shutdown_timeout": min(workers.timeout, LONGEST_SAVE)} if "shutdown_timeout" in names else {}


def _for_workers() -> dict[str, str]:
    """Environment of agent and workers. An ignored signal, as by `nohup`, is not handled."""
    numbers = (getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT") if hasattr(signal, name))
    handled = [number.name for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    return {
        **ELASTIC,
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "TORCHELASTIC_SIGNALS_TO_HANDLE": ",".join(handled),
        PARENT: str(os.getpid()),
    }


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
