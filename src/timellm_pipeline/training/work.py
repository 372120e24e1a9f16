"""What a worker process runs: the training of a handoff, together with the other workers of its group."""

import logging
import os
import sys
from datetime import timedelta
from pathlib import Path

from timellm_pipeline.errors import UserError
from timellm_pipeline.training.handoff import Handoff
from timellm_pipeline.training.signals import TrainingStopped
from timellm_pipeline.worker_group import WorkerGroup

log = logging.getLogger(__name__)


def work(folder: Path) -> int:
    """Run the training in a folder as one worker of the group that torchrun's environment describes.

    Returns the exit status: 0 also after a signal, which the first worker reports in the folder.
    """
    import torch
    import torch.distributed as dist

    from timellm_pipeline.training.run import train_model

    handoff = Handoff.read(folder)
    if handoff.error() is not None:
        return 1  # restarting does not help: a user has to act
    rank = int(os.environ["RANK"])
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.ERROR, format="%(asctime)s  %(message)s")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    seconds = handoff.parameters.workers.timeout
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=seconds))
    group = WorkerGroup.current()
    try:
        result = train_model(
            handoff.data,
            handoff.parameters,
            handoff.source,
            handoff.store,
            handoff.version,
            handoff.start_model(),
            handoff.linear,
        )
    except UserError as error:
        handoff.report_error(error)
        sys.stderr.flush()
        os._exit(1)  # the other workers wait for this one in a collective operation, and are ended by the agent
    except RuntimeError as error:
        if "gloo" not in str(error) and "NCCL" not in str(error):
            raise
        log.error("worker %s ends, because it lost the others: %s", rank, str(error).splitlines()[0][:200])
        os._exit(1)
    except TrainingStopped as stopped:
        if group.is_first:
            handoff.report_stop(stopped.status - 128, str(stopped))
        dist.destroy_process_group()
        return 0
    if group.is_first:
        handoff.report_done(result.record.steps_run)
    dist.destroy_process_group()
    return 0
