"""One command in its own process: forked from one that has imported everything, or a new interpreter."""

import atexit
import gc
import importlib
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attack_harness import Place

FINAL = {  # the last result of each pipeline: a refused command publishes no new version of it
    "data": "05_model_input/run_plan.json",
    "explain": "08_reporting/plan_table.md",
    "train": "06_models/timellm_model",
    "publish": "06_models/timellm_model",
    "import_upstream": "06_models/timellm_model",
    "evaluate": "08_reporting/test_metrics.json",
    "forecast": "07_model_output/forecast.csv",
    "prototypes": "08_reporting/prototype_words.parquet",
    "retrain": "08_reporting/retrain_report.json",
    "rollback": "08_reporting/rollback_report.json",
}
GIB = 2**30
STOPPING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
MODULES = "ATTACK_MODULES"  # a file that takes the names of the modules that a command has imported
LONGEST = 60.0  # seconds for one command


@dataclass
class Outcome:
    """How one command ended, and what it left."""

    words: list[str]
    pipeline: str | None
    status: int
    out: str
    err: str
    seconds: float
    timed_out: bool = False
    harmed: list[str] = field(default_factory=list)  # files outside the data root that changed
    left: list[str] = field(default_factory=list)  # partial folders
    new: list[str] = field(default_factory=list)  # new versions of the pipeline's last result

    @property
    def text(self) -> str:
        """Everything that was printed."""
        return self.out + self.err


class Running:
    """A running command."""

    def __init__(self, place: "Place", words: list[str], pipeline: str | None, memory: float) -> None:
        self.place, self.words, self.pipeline = place, words, pipeline
        place.count += 1
        self.outputs = [place.outputs / f"{place.count}.{name}" for name in ("out", "err")]
        self.versions = place.versions(FINAL[pipeline]) if pipeline in FINAL else set()
        self.before = place.outside()
        self.started = time.perf_counter()
        self.killed = False
        self.status: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        if place.fresh and words[0] != "call":
            self.pid = self._start_fresh(memory)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # none may arrive before the command's own handlers
            self.pid = os.fork()
            if self.pid == 0:
                _become(words, self.outputs, place.project, memory, place.functions.get(words[-1]))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            with suppress(OSError):  # both sides do it, whoever comes first
                os.setpgid(self.pid, self.pid)

    def _start_fresh(self, memory: float) -> int:
        out, err = (path.open("wb") for path in self.outputs)
        module = {"kedro": ["-m", "kedro"], "timellm": ["-m", "timellm_pipeline"], "script": ["-c"]}[self.words[0]]
        process = subprocess.Popen(
            [sys.executable, *module, *self.words[1:]],
            cwd=self.place.project,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            process_group=0,
            env={**os.environ, "PYTHONPATH": str(self.place.project / "src")},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (int(memory * GIB),) * 2),  # noqa: PLW1509 - no threads
        )
        out.close()
        err.close()
        process.returncode = 0  # it is waited for below
        return process.pid

    def over(self) -> bool:
        """Whether it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.over():
            self.killed = self.killed or number == signal.SIGKILL
            os.kill(self.pid, number)

    def wait(self, seconds: float = LONGEST) -> Outcome:
        """Wait for its end; it is killed when it takes longer than this."""
        deadline, timed_out = time.perf_counter() + seconds, False
        pause = 0.002
        while not self.over():
            if time.perf_counter() > deadline and not timed_out:
                timed_out = self.killed = True
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(pause)
            pause = min(pause * 1.3, 0.05)
        if self.killed:  # what it started goes with it
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        took = time.perf_counter() - self.started
        out, err = (path.read_bytes().decode("utf-8", "backslashreplace") for path in self.outputs)
        assert self.status is not None
        place = self.place
        outcome = Outcome(self.words, self.pipeline, self.status, out, err, took, timed_out)
        after = place.outside()
        changed = {name for name in {*self.before, *after} if self.before.get(name) != after.get(name)}
        outcome.harmed = sorted(name for name in changed if not place.expected_outside(name))
        outcome.left = [] if self.killed else place.partials()
        if self.pipeline in FINAL:
            outcome.new = sorted(place.versions(FINAL[self.pipeline]) - self.versions)
        place.last = outcome
        place.slowest = max(place.slowest, took)
        return outcome


def _become(
    words: list[str], outputs: list[Path], project: Path, memory: float, function: Callable[[], Any] | None
) -> None:
    """Turn a forked process into the command; never returns."""
    status = 1
    try:
        os.setpgid(0, 0)
        for number, path in zip((1, 2), outputs, strict=True):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        resource.setrlimit(resource.RLIMIT_AS, (int(memory * GIB),) * 2)
        os.chdir(project)
        os.environ["PYTHONPATH"] = str(project / "src")
        gc.unfreeze()
        sys.argv = list(words)
        if words[0] == "kedro":
            from kedro.framework.cli.cli import main

            main()
        elif words[0] == "timellm":
            importlib.import_module("timellm_pipeline.__main__").main()
        elif words[0] == "script":
            sys.argv = ["-c", *words[2:]]
            exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
        elif function is not None:
            function()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            sys.stderr.write(stop.code + "\n")
    except BaseException as error:
        traceback.print_exc()
        status = 130 if isinstance(error, KeyboardInterrupt) else 1
    finally:
        with suppress(BaseException):
            atexit._run_exitfuncs()
        if MODULES in os.environ:
            with open(os.environ[MODULES], "a", encoding="utf-8") as file:  # noqa: PTH123
                file.write("\n".join(list(sys.modules)) + "\n")
        for stream in (sys.stdout, sys.stderr):
            with suppress(BaseException):
                stream.flush()
        os._exit(status & 0xFF)
