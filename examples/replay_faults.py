"""Commands of the replay that end badly: killed at some moment or in the decision, on a full disk, two at once."""

import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEDRO = [sys.executable, "-m", "kedro"]
KILLED = -9

# The process kills itself right after the line of the decision is on disk, before anything else is written.
IN_THE_DECISION = """
import os, signal
from timellm_pipeline.retraining import registry
append = registry.append
def append_and_die(*args):
    append(*args)
    os.kill(os.getpid(), signal.SIGKILL)
registry.append = append_and_die
"""

# From some flush on, every flush fails as on a full disk. Mounting a small disk would need root.
FULL_DISK = """
import errno, os
fsync, left = os.fsync, [{flushes}]
def full(descriptor):
    left[0] -= 1
    if left[0] < 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fsync(descriptor)
os.fsync = full
"""
RUN = "import sys; from kedro.framework.cli.cli import main; sys.argv[0] = 'kedro'; main()"


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit status, or minus the signal's number."""

    status: int
    errors: str


class Commands:
    """Runs pipelines with fixed parameters; every command is a process of its own.

    Args:
        params: value of --params.
        checkpoints: folder of the step checkpoints.
    """

    def __init__(self, params: str, checkpoints: Path) -> None:
        self.params, self.checkpoints = params, checkpoints

    def run(self, pipeline: str) -> Done:
        """Run a pipeline to its end."""
        return self._finish(self._start(KEDRO, pipeline))

    def killed_after(self, pipeline: str, seconds: float) -> Done:
        """Kill a pipeline (SIGKILL) after some seconds, if it has not ended by then."""
        process = self._start(KEDRO, pipeline)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        return self._finish(process)

    def killed_in_training(self, pipeline: str) -> Done:
        """Kill a pipeline as soon as it has written a checkpoint."""
        before = set(self.checkpoints.glob("*/step-*"))
        process = self._start(KEDRO, pipeline)
        while process.poll() is None:
            if set(self.checkpoints.glob("*/step-*")) - before:
                process.kill()
            time.sleep(0.01)
        return self._finish(process)

    def killed_in_the_decision(self, pipeline: str) -> Done:
        """Kill a pipeline between the line of its decision and everything that follows from it."""
        return self._finish(self._start([sys.executable, "-c", IN_THE_DECISION + RUN], pipeline))

    def on_a_full_disk(self, pipeline: str, chance: random.Random) -> Done:
        """Run a pipeline while the disk fills up."""
        code = FULL_DISK.format(flushes=chance.randrange(1, 60)) + RUN
        return self._finish(self._start([sys.executable, "-c", code], pipeline))

    def two_at_once(self, pipeline: str) -> list[Done]:
        """Run a pipeline in two processes at the same time."""
        processes = [self._start(KEDRO, pipeline) for _ in range(2)]
        return [self._finish(process) for process in processes]

    def _start(self, command: list[str], pipeline: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, "run", "--pipeline", pipeline, "--params", self.params],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _finish(self, process: subprocess.Popen[str]) -> Done:
        errors = process.communicate()[1]
        return Done(process.returncode, errors)
