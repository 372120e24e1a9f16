"""How benchmarks/attack.py runs a command, and what it demands of every one of them.

A new interpreter needs 3 s before it does anything. So one process imports every library once, in the state in which
`kedro run` would find it, and each command runs in a process forked from it. `--fresh` starts real new processes.

Nothing here relies on the package's Python names: a case runs commands and looks at exit statuses, texts and files.
"""

import atexit
import csv
import gc
import hashlib
import importlib
import json
import math
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
COPIED = ("conf", "src", "data", "pyproject.toml", ".telemetry")  # what a project needs to run
SMALL: dict[str, Any] = {
    "backbone.name": "none",
    "window.seq_len": 48,
    "window.pred_len": 12,
    "window.window_step": 50,
    "model.num_prototypes": 8,
    "model.d_model": 8,
    "model.d_ff": 8,
    "model.num_heads": 2,
    "training.max_steps": 10,
    "training.batch_size": 8,
    "training.save_steps": 3,
    "training.log_steps": 2,
    "evaluation.validation_step": 50,
    "evaluation.test_step": 50,
}
EASY: dict[str, Any] = {  # a retraining that promotes whatever is trained
    **SMALL,
    "split.method": "recent",
    "split.test_rows": "3D",
    "split.val_rows": "3D",
    "gates.mase": None,
    "gates.seasonal_naive": False,
    "gates.prefer": "fresh",
    "gates.tolerance": 1000.0,
    "gates.slices": None,
    "gates.stability": None,
    "gates.range_deviations": None,
    "gates.load": False,
}
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
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "COLUMNS": "4000",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
SIMPLE = re.compile(r"[\w./:+\-]+")  # values that can stand in --params
BIDI = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
FORMULA = re.compile(r"[=+\-@\t\r]")
GIB = 2**30
MODULES = "ATTACK_MODULES"  # a file that takes the names of the modules that a command has imported
LONGEST = 90.0  # seconds for one command


class Wrong(Exception):
    """A command ended otherwise than it should."""


class Skipped(Exception):
    """This machine cannot run the case."""


@dataclass
class Outcome:
    """How one command ended, and what it left behind."""

    words: list[str]
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


@dataclass(frozen=True)
class Case:
    """One attack.

    Attributes:
        kind: `input` (inputs, parameters, command lines, files of strangers) or `fault`.
        group: the class in the report.
        check: runs the commands; raises Wrong.
    """

    kind: str
    group: str
    name: str
    check: Callable[["Place"], None]


@dataclass
class Result:
    """What became of a case."""

    kind: str
    group: str
    name: str
    wrong: str | None = None
    skipped: str | None = None
    tail: str = ""
    seconds: float = 0.0
    slowest: float = 0.0  # of its commands


class Running:
    """A command under way."""

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
            self.pid = os.fork()
            if self.pid == 0:
                _become(words, self.outputs, place.project, memory, place.functions.get(words[-1]))
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
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (int(memory * GIB),) * 2),
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
        outcome = Outcome(self.words, self.status, out, err, took, timed_out)
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


class Place:
    """A case's own folder: a data root, a raw file, and victims outside that no command may touch."""

    def __init__(self, folder: Path, project: Path, states: Path, fresh: bool = False) -> None:
        self.folder, self.project, self.states, self.fresh = folder, project, states, fresh
        self.root = folder / "root"
        self.csv = folder / "series.csv"
        self.outputs = folder / ".outputs"
        self.outputs.mkdir(parents=True)
        self.victims = folder / "victims"
        self.victims.mkdir()
        (self.victims / "precious.txt").write_text("nobody may change this\n", encoding="utf-8")
        self.changing = {"root", ".outputs"}  # first parts of paths that may change
        self.count = 0
        self.slowest = 0.0
        self.last: Outcome | None = None
        self.functions: dict[str, Callable[[], Any]] = {}
        self.planted = False  # whether the case put `.partial-*` folders there itself

    # ── states that were prepared once

    def take(self, state: str) -> Path:
        """Copy a prepared data root here, and its newest raw file. Returns the data root."""
        source = self.states / state
        shutil.copytree(source / "root", self.root, symlinks=True)
        shutil.copyfile(source / "series.csv", self.csv)
        return self.root

    def facts(self, state: str) -> dict[str, Any]:
        """What undisturbed commands gave in a prepared state."""
        facts: dict[str, Any] = json.loads((self.states / state / "facts.json").read_text(encoding="utf-8"))
        return facts

    # ── commands

    def start(self, words: Sequence[str], pipeline: str | None = None, memory: float = 10.0) -> Running:
        """Start a command: `kedro …`, `timellm …`, `script TEXT …` or `call NAME`. `memory` is in GiB."""
        return Running(self, list(words), pipeline, memory)

    def begin(
        self,
        pipeline: str,
        params: Mapping[str, Any] | None = None,
        words: Sequence[str] = (),
        memory: float = 10.0,
        base: Mapping[str, Any] = SMALL,
    ) -> Running:
        """Start `kedro run --pipeline` with small settings; a parameter of the value `...` is left out."""
        values: dict[str, Any] = {**base, "raw_csv": str(self.csv), "data_root": str(self.root), **(params or {})}
        values = {name: value for name, value in values.items() if value is not ...}
        if all(isinstance(value, int | float | str) and SIMPLE.fullmatch(str(value)) for value in values.values()):
            given = ["--params", ",".join(f"{name}={value}" for name, value in values.items())]
        else:
            given = ["--config", str(self.config({"params": nested(values)}))]
        return self.start(["kedro", "run", "--pipeline", pipeline, *given, *words], pipeline, memory)

    def run(self, pipeline: str, params: Mapping[str, Any] | None = None, **options: Any) -> Outcome:
        """`begin`, and wait for the end."""
        return self.begin(pipeline, params, **options).wait()

    def config(self, run: Mapping[str, Any]) -> Path:
        """A file for `--config`."""
        self.count += 1
        path = self.outputs / f"config-{self.count}.yml"
        path.write_text(yaml.safe_dump({"run": dict(run)}, allow_unicode=True), encoding="utf-8")
        return path

    def watch(self, *words: str) -> Outcome:
        """Look at the newest training once."""
        page = self.outputs / "watch.html"
        root = self.root / "06_models/checkpoints"
        return self.start(["timellm", "watch", "--once", "--root", str(root), "--page", str(page), *words]).wait()

    def script(self, text: str, *words: str, memory: float = 10.0) -> Outcome:
        """Run Python text with arguments."""
        return self.start(["script", text, *words], memory=memory).wait()

    def call(self, function: Callable[[], Any]) -> Outcome:
        """Run a function of a case, for cases that test the harness itself."""
        return self.start_call(function).wait()

    def start_call(self, function: Callable[[], Any]) -> Running:
        """Start a function of a case."""
        self.functions["function"] = function
        return self.start(["call", "function"])

    # ── what is there

    def versions(self, result: str) -> set[str]:
        """Names of the versions of a result."""
        folder = self.root / result
        with suppress(OSError):
            return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        return set()

    def newest(self, result: str) -> Path:
        """The content of a result's newest version."""
        names = self.versions(result)
        need(bool(names), f"there is no version of {result}")
        return self.root / result / max(names) / Path(result).name

    def partials(self) -> list[str]:
        """Partial folders below the data root."""
        if self.planted or not self.root.is_dir():
            return []
        found = [*self.root.rglob(".partial-*"), *self.root.rglob(".gone-*")]
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def outside(self) -> dict[str, tuple[Any, ...]]:
        """What lies outside the data root: path, kind, size, and content or time."""
        seen = {}
        for name, path in _walk(self.folder, self.changing):
            seen[name] = _look(path, content=True)
        for name, path in _walk(self.project, {"logs", ".viz"}):
            if "__pycache__" not in name:
                seen["project/" + name] = _look(path, content=False)
        return seen

    def expected_outside(self, name: str) -> bool:
        """Whether a path outside the data root may change: a folder whose only entry is such a path."""
        return name.split("/", maxsplit=1)[0] in self.changing

    def forecast(self) -> list[float]:
        """The numbers of the newest forecast.csv. Raises Wrong for a blank cell or a number that is not finite."""
        return forecast_numbers(self.newest(FINAL["forecast"]))

    def champion(self) -> str:
        """The version in the champion's pointer."""
        return str(json.loads((self.root / "06_models/champion.json").read_text(encoding="utf-8"))["version"])

    def journal(self) -> list[dict[str, Any]]:
        """The decisions."""
        text = (self.root / "06_models/decisions.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line.strip()]

    # ── what is demanded

    def decent(self, outcome: Outcome) -> None:
        """What holds for every command, however it ends."""
        need(not outcome.timed_out, f"no answer after {outcome.seconds:.0f} s")
        need("Traceback" not in outcome.text, "a traceback")
        found = control_characters(outcome.text)
        need(not found, f"control characters in the output: {found}")
        need(not outcome.left, f"left behind: {outcome.left[:3]}")
        need(not outcome.harmed, f"changed outside the data root: {outcome.harmed[:3]}")

    def refuse(self, outcome: Outcome, *says: str, never: Iterable[str] = (), status: int = 1) -> Outcome:
        """Demand three lines and this status. `says`: regular expressions that the lines must match."""
        self.decent(outcome)
        need(outcome.status == status, f"status {outcome.status} instead of {status}")
        lines = outcome.err.rstrip("\n").split("\n")
        shape = len(lines) == 3 and [line[:9] for line in lines[1:]] == ["  where: ", "  do:    "]
        need(shape and lines[0].startswith("Error: "), f"{len(lines)} lines on stderr that are not the three")
        need(all(len(line) > 9 for line in lines), "one of the three lines is empty")
        need(len(outcome.err) < 6000, f"{len(outcome.err):,} characters are too long a message")
        if status != 3:
            need(not outcome.new, f"published {outcome.new} all the same")
        self.speaks(outcome.err, says, never)
        return outcome

    def work(self, outcome: Outcome, *says: str, never: Iterable[str] = (), status: int = 0) -> Outcome:
        """Demand success, finite results, and a log that matches these regular expressions."""
        self.decent(outcome)
        need(outcome.status == status, f"status {outcome.status} instead of {status}")
        self.speaks(outcome.text, says, never)
        self.finite(outcome)
        return outcome

    def either(self, outcome: Outcome) -> Outcome:
        """Demand a result or three lines."""
        if outcome.status == 0:
            return self.work(outcome)
        return self.refuse(outcome, status=3 if outcome.status == 3 else 1)

    def speaks(self, text: str, says: Iterable[str], never: Iterable[str]) -> None:
        """Demand that a text matches all of one list and none of another."""
        for one in says:
            need(re.search(one, text, re.IGNORECASE) is not None, f"nothing is said of `{one}`")
        for one in never:
            need(re.search(one, text, re.IGNORECASE) is None, f"it says `{one}`")

    def finite(self, outcome: Outcome) -> None:
        """Demand finite numbers in every new forecast and in every new metrics file."""
        if not outcome.new:
            return
        pipeline = outcome.words[outcome.words.index("--pipeline") + 1]
        if pipeline == "forecast":
            for version in outcome.new:
                forecast_numbers(self.root / FINAL["forecast"] / version / "forecast.csv")
        metrics = "08_reporting/test_metrics.json"
        if pipeline in ("train", "evaluate", "publish") and self.versions(metrics):
            path = self.newest(metrics)
            try:
                json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
            except ValueError as error:
                raise Wrong(f"test_metrics.json: {error}") from error


def forecast_numbers(path: Path) -> list[float]:
    """The numbers of a forecast.csv. Raises Wrong for a blank, infinite or dangerous cell."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = list(csv.reader(file))
    need(bool(rows), "forecast.csv has no rows")
    numbers = [name for name in header if name == "forecast" or re.fullmatch(r"(lower|upper)_\d+", name)]
    need("forecast" in numbers, f"forecast.csv has the columns {header}")
    values = []
    for row in rows:
        for name, cell in zip(header, row, strict=True):
            if name in numbers:
                try:
                    values.append(float(cell))
                except ValueError:
                    raise Wrong(f"forecast.csv has the cell {cell!r} in {name}") from None
                need(math.isfinite(values[-1]), f"forecast.csv has {cell} in {name}")
            else:
                need(not FORMULA.match(cell), f"forecast.csv has the cell {cell[:40]!r}, a formula")
    return values


def need(fact: bool, otherwise: str) -> None:
    """Raises Wrong unless the fact holds."""
    if not fact:
        raise Wrong(otherwise)


def _no_constant(name: str) -> float:
    raise ValueError(f"the number {name}")


def control_characters(text: str) -> str:
    """Control and direction characters of a text, escaped; tabs and line ends do not count."""
    found = {one for one in text if one not in "\n\t" and (unicodedata.category(one) == "Cc" or one in BIDI)}
    return " ".join(sorted(f"U+{ord(one):04X}" for one in found))


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with dots as dictionaries within dictionaries."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        *groups, key = name.split(".")
        inside = made
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[key] = value
    return made


def sha(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything in a folder, with contents, to be compared later."""
    return {name: _look(path, content=True) for name, path in _walk(folder, set())}


def _walk(folder: Path, without: set[str]) -> Iterator[tuple[str, Path]]:
    for parent, folders, files in os.walk(folder):
        if Path(parent) == folder:
            folders[:] = [name for name in folders if name not in without]
        for name in [*folders, *files]:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if relative.split("/", maxsplit=1)[0] not in without:
                yield relative, path


def _look(path: Path, content: bool) -> tuple[Any, ...]:
    """Kind and content of a path, links not followed; without content, kind, size and time."""
    try:
        facts = path.lstat()
    except OSError:
        return ("gone",)
    kind = stat.S_IFMT(facts.st_mode)
    if kind == stat.S_IFLNK:
        return ("link", str(path.readlink()))
    if kind != stat.S_IFREG:
        return (kind,)
    return (kind, facts.st_size, (sha(path) if facts.st_size < 2**22 else facts.st_mtime) if content else facts.st_mtime)


# ── the server


class Server:
    """Imports everything once and runs cases in processes forked from it.

    Args:
        work: an empty folder for all that is made.
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
        need(threads() == 1, "a library started a thread when it was imported; forked processes would miss it")
        gc.collect()
        gc.freeze()

    def place(self, name: str, fresh: bool | None = None, slot: int = 0) -> Place:
        """A new folder for a case."""
        self.number += 1
        folder = self.work / "cases" / f"{self.number:04d}-{re.sub(r'[^A-Za-z0-9]+', '-', name)[:40]}"
        return Place(folder, self.projects[slot], self.states, self.fresh if fresh is None else fresh)

    def run(self, cases: Sequence[Case], heard: Callable[[Result], None], longest: float = 300.0) -> list[Result]:
        """Run the cases, some at a time; `heard` gets each result as it comes."""
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
                        os.kill(pid, signal.SIGTERM)
                        os.waitpid(pid, 0)
                        ended = pid
                    if ended:
                        del running[pid]
                        free.append(slot)
                        results.append(_read_result(case, place))
                        heard(results[-1])
                time.sleep(0.005)
        finally:
            for pid in running:
                with suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
        return results


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
