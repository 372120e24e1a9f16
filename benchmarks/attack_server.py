"""Runs cases, some at a time, in processes forked from one that has imported everything.

A new interpreter needs 3 s to import everything. So this process imports every library once, and each case and each of
its commands is forked from it. It has no threads, because a fork would lose them.
"""

import gc
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attack_files import Skipped, Wrong, need
from attack_harness import ROOT, Case, Place, Result
from attack_process import MODULES, Running

COPIED = ("conf", "src", "data", "pyproject.toml", ".telemetry")  # what a project needs to run
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "COLUMNS": "4000",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Server:
    """Imports everything once and runs cases in forked processes.

    Args:
        work: an empty folder for all files.
        jobs: cases at the same time.
        fresh: whether commands run in real new processes.
    """

    def __init__(self, work: Path, jobs: int = 2, fresh: bool = False) -> None:
        self.work, self.jobs, self.fresh = work, jobs, fresh
        self.projects = [work / f"project-{number}" for number in range(jobs)]
        self.states = work / "states"
        self.states.mkdir(parents=True)
        for project in self.projects:
            copy_project(project)
        os.environ.update(ENVIRONMENT)
        os.environ["TIMELLM_CACHE"] = str(work / "cache")
        os.environ["PYTHONPATH"] = str(self.projects[0] / "src")
        os.chdir(self.projects[0])
        sys.path[:] = [str(self.projects[0] / "src"), *(path for path in sys.path if path != str(ROOT / "src"))]
        self.number = 0

    def warm(self, commands: Callable[[Place], None]) -> None:
        """Run commands once, and import in this process whatever they imported: forked ones have it then."""
        place, modules = self.place("warm", fresh=False), self.work / "modules.txt"
        os.environ[MODULES] = str(modules)
        commands(place)
        del os.environ[MODULES]
        for name in modules.read_text(encoding="utf-8").split():
            if name not in sys.modules and not name.startswith("__"):
                with suppress(BaseException):
                    importlib.import_module(name)
        need(threads() == 1, "a library started a thread when it was imported; forked processes would lack it")
        gc.collect()
        gc.freeze()

    def place(self, name: str, fresh: bool | None = None, slot: int = 0) -> Place:
        """A new folder for a case."""
        self.number += 1
        folder = self.work / "cases" / f"{self.number:04d}-{re.sub(r'[^A-Za-z0-9]+', '-', name)[:40]}"
        return Place(folder, self.projects[slot], self.states, self.fresh if fresh is None else fresh)

    def run(self, cases: Sequence[Case], on_result: Callable[[Result], None], longest: float = 300.0) -> list[Result]:
        """Run the cases, some at a time; `on_result` gets each result when its case ends."""
        waiting, running, results = list(reversed(cases)), {}, []
        free = list(range(self.jobs))
        try:
            while waiting or running:
                while waiting and free:
                    case, slot = waiting.pop(), free.pop()
                    place = self.place(case.name, slot=slot)
                    sys.stdout.flush()
                    pid = os.fork()
                    if pid == 0:
                        _run_case(case, place)
                    running[pid] = (case, slot, place, time.perf_counter())
                for pid, (case, slot, place, started) in list(running.items()):
                    ended, _ = os.waitpid(pid, os.WNOHANG)
                    if not ended and time.perf_counter() - started > longest:
                        _end(pid)
                        ended = pid
                    if ended:
                        del running[pid]
                        free.append(slot)
                        results.append(_read_result(case, place))
                        on_result(results[-1])
                time.sleep(0.005)
        finally:
            for pid in running:
                _end(pid)
        return results


def _end(pid: int) -> None:
    """End the process of a case, which ends its commands and unmounts its disk; kill it where it does not."""
    with suppress(OSError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(1000):
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def threads() -> int:
    """Threads of this process; that of Arrow's allocator does not count, which is made for forks."""
    names = [path.read_text(encoding="utf-8").strip() for path in Path("/proc/self/task").glob("*/comm")]
    return max(sum(not name.startswith("jemalloc") for name in names), 1)


def copy_project(project: Path) -> None:
    """A copy of what a project needs to run, so that no attack touches this one."""
    project.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.safetensors", "*.pt", "0[2-8]_*")
            shutil.copytree(source, project / name, ignore=skip)
        elif source.exists():
            shutil.copy2(source, project / name)
    for name in ("02_intermediate", "06_models"):
        (project / "data" / name).mkdir(parents=True, exist_ok=True)


def _run_case(case: Case, place: Place) -> None:
    """Run one case in a forked process; never returns."""
    result = Result(case.kind, case.group, case.name)
    started = time.perf_counter()
    commands: list[Running] = []
    begin = place.start

    def start(*args: Any, **options: Any) -> Running:
        commands.append(begin(*args, **options))
        return commands[-1]

    def stop(number: int, frame: Any) -> None:
        raise Wrong("the case took too long")

    place.start = start  # type: ignore[method-assign]
    signal.signal(signal.SIGTERM, stop)
    try:
        case.check(place)
    except Wrong as wrong:
        result.wrong = str(wrong)
    except Skipped as skipped:
        result.skipped = str(skipped)
    except BaseException:
        result.wrong = "the case itself failed: " + traceback.format_exc()[-1500:]
    with suppress(BaseException):
        for command in commands:
            if command.status is None and not command.over():
                os.killpg(command.pid, signal.SIGKILL)
        if result.wrong and place.last is not None:
            shown = place.last.words if place.last.words[0] != "script" else ["script"]
            tail = [line[:300] for line in place.last.text.rstrip().split("\n")[-8:]]
            result.tail = "\n".join([f"$ {' '.join(shown)[:400]}   [status {place.last.status}]", *tail])
    result.seconds, result.slowest = time.perf_counter() - started, place.slowest
    path = place.folder.with_suffix(".json")
    path.write_text(json.dumps(asdict(result)), encoding="utf-8")
    with suppress(BaseException):
        shutil.rmtree(place.folder, ignore_errors=True)
    os._exit(0)


def _read_result(case: Case, place: Place) -> Result:
    path = place.folder.with_suffix(".json")
    try:
        return Result(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return Result(case.kind, case.group, case.name, wrong="the process of the case died")
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own at `folder`. Raises Skipped where mounting is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Skipped(f"mounting is not permitted ({done.stderr.strip()[:80]})")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
