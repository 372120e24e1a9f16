"""What a worker process runs (`python -m timellm_pipeline work FOLDER`): the job in a folder, with its group.

`kedro run` starts the workers of one machine. Those of several machines are started by torchrun, by hand, by SLURM or
by Kubernetes (docs/scale-out.md).
"""

import logging
import os
import sys
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from timellm_pipeline.diagnosis import diagnose
from timellm_pipeline.errors import TrainingError, UserError
from timellm_pipeline.workers.folder import WorkFolder
from timellm_pipeline.workers.group import WorkerGroup
from timellm_pipeline.workers.signals import StoppedBySignal

log = logging.getLogger(__name__)

VISIBLE_WITHIN = 30.0  # seconds until a new file of another machine has to be visible on a shared drive


def work(path: Path) -> int:
    """Run the job in a folder as one worker of the group that torchrun's environment describes.

    Returns the exit status. After a signal it is 0 if `kedro run` started this process, which then reads the signal
    from the folder; otherwise, as by convention, 128 plus the signal number.
    """
    agent = os.getppid()  # before anything that takes time: it may be killed meanwhile
    import torch
    import torch.distributed as dist

    from timellm_pipeline.workers.elastic import PARENT, refuse_missing_gpus

    folder = WorkFolder(path)
    job = folder.job()
    rank, local_rank = _from_environment("RANK"), _from_environment("LOCAL_RANK")
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.ERROR, format="%(asctime)s  %(message)s")
    if torch.cuda.is_available():
        refuse_missing_gpus(local_rank + 1)
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=job["timeout"]))
    is_child = os.environ.get("TORCHELASTIC_RUN_ID") == path.name  # as `run_workers` names it
    parent = int(os.environ[PARENT]) if is_child else agent
    group = WorkerGroup(dist.get_rank(), dist.get_world_size(), parent)
    group.join()
    try:
        # Each agent counts the restarts of its own workers.
        restarts = max(group.gather(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))))
        reported = group.from_first(folder.error() if restarts else None)
        if reported is not None:  # a restart does not help: a user has to act
            raise reported
        if group.is_first:
            folder.clear()
        group.gather(None)
        refuse_separate_drives(folder.path, group)
        _run(job["kind"], folder)
    except Exception as error:
        found = diagnose(error)
        if found is not None:
            if not (_reported(folder, found) and is_child):  # nobody else shows it
                sys.stderr.write("\n".join(found.lines()) + "\n")
        elif "gloo" in str(error) or "NCCL" in str(error):
            log.error("worker %s ends, because it lost the others: %s", rank, str(error).splitlines()[0][:200])
        else:
            log.exception("worker %s failed", rank)
        sys.stderr.flush()
        os._exit(1)  # the other workers wait for this one in a collective operation, and are ended by the agent
    except StoppedBySignal as stopped:
        if group.is_first:
            with suppress(OSError):  # the drive may be full
                folder.report_stop(stopped.status - 128, str(stopped))
            log.warning("%s", stopped)
        dist.destroy_process_group()
        return 0 if is_child else stopped.status
    dist.destroy_process_group()
    return 0


def _reported(folder: WorkFolder, error: UserError) -> bool:
    """Report an error in the folder. False if that fails, for example on the full drive that is the error."""
    try:
        folder.report_error(error)
    except OSError:
        return False
    return True


def refuse_separate_drives(path: Path, group: WorkerGroup) -> None:
    """Raise TrainingError if a worker does not see the files of the first one: they need one shared drive."""
    mark = path / f".shared-{group.from_first(uuid.uuid4().hex)}"
    if group.is_first:
        mark.touch()
    group.gather(None)
    deadline = time.monotonic() + VISIBLE_WITHIN
    while not mark.exists() and time.monotonic() < deadline:
        list(path.iterdir())  # asks the server of a network drive again
        time.sleep(0.1)
    blind = [str(number) for number, sees in enumerate(group.gather(mark.exists())) if not sees]
    if group.is_first:
        mark.unlink()
    if blind:
        raise TrainingError(
            f"workers {', '.join(blind)} do not see the files that worker 0 writes",
            where=str(path),
            do="put the checkpoints on a drive that all machines share: --params checkpoint_root=PATH",
        )


def _run(kind: str, folder: WorkFolder) -> None:
    """Run a job by its kind."""
    from timellm_pipeline.model import worker_outputs
    from timellm_pipeline.model.outputs_job import OutputsJob
    from timellm_pipeline.training import handoff

    jobs: dict[str, type[handoff.Handoff | OutputsJob]] = {
        handoff.KIND: handoff.Handoff,
        worker_outputs.KIND: OutputsJob,
    }
    jobs[kind].read(folder).run()


def _from_environment(name: str) -> int:
    """A variable that torchrun sets. Raises TrainingError without it."""
    try:
        return int(os.environ[name])
    except (KeyError, ValueError) as error:
        raise TrainingError(
            f"this process was not started by torchrun: {name} is not set",
            where="python -m timellm_pipeline work",
            do="start it with torchrun: torchrun --nproc-per-node N -m timellm_pipeline work FOLDER",
        ) from error
