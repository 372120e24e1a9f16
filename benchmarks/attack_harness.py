"""A case's own folder, and what benchmarks/attack.py demands of every command.

Nothing here relies on the package's Python names: a case runs commands and checks exit statuses, texts and files.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from attack_files import Wrong, control_characters, forecast_numbers, look, need, walk
from attack_process import FINAL, Outcome, Running

ROOT = Path(__file__).parents[1]
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
    "training.batch_size": 4,
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
    "gates.linear": None,
    "gates.seasonal_naive": False,
    "gates.prefer": "fresh",
    "gates.tolerance": 1000.0,
    "gates.slices": None,
    "gates.stability": None,
    "gates.range_deviations": None,
    "gates.load": False,
}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT")  # how the name of a version begins
SIMPLE = re.compile(r"[\w./:+\-]+")  # values that can stand in --params
BIDI = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
FORMULA = re.compile(r"[=+\-@\t\r]")


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
    """The result of a case."""

    kind: str
    group: str
    name: str
    wrong: str | None = None
    skipped: str | None = None
    tail: str = ""
    seconds: float = 0.0
    slowest: float = 0.0  # of its commands


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
        self.planted = False  # whether the case made `.partial-*` folders itself

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
        """Report on the newest training once."""
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
            return {path.name for path in folder.iterdir() if STAMP.match(path.name)}
        return set()

    def newest(self, result: str) -> Path:
        """The content of a result's newest version that has one."""
        places = [self.root / result / name / Path(result).name for name in sorted(self.versions(result))]
        present = [path for path in places if path.exists()]
        need(bool(present), f"there is no version of {result}")
        return present[-1]

    def partials(self) -> list[str]:
        """Partial folders below the data root."""
        if self.planted or not self.root.is_dir():
            return []
        found = [*self.root.rglob(".partial-*"), *self.root.rglob(".gone-*")]
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def outside(self) -> dict[str, tuple[Any, ...]]:
        """What lies outside the data root: path, kind, size, and content or time."""
        seen = {}
        for name, path in walk(self.folder, self.changing):
            seen[name] = look(path, content=True)
        for name, path in walk(self.project, {"logs", ".viz"}):
            if "__pycache__" not in name:
                seen["project/" + name] = look(path, content=False)
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
        """The decisions that can be read."""
        found = []
        for line in (self.root / "06_models/decisions.jsonl").read_bytes().split(b"\n"):
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and "decision" in entry:
                    found.append(entry)
        return found

    # ── what is demanded

    def decent(self, outcome: Outcome) -> None:
        """Demand what every command must keep to, however it ends."""
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
        need(all(line.rstrip()[-1] != ":" for line in lines), "one of the three lines is empty")
        need(len(outcome.err) < 6000, f"{len(outcome.err):,} characters are too long a message")
        if status != 3:
            need(not outcome.new, f"published {outcome.new} although it was refused")
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
            need(re.search(one, text, re.IGNORECASE) is not None, f"the text does not match `{one}`")
        for one in never:
            need(re.search(one, text, re.IGNORECASE) is None, f"the text matches `{one}`, which it must not")

    def finite(self, outcome: Outcome) -> None:
        """Demand finite numbers in every new forecast and in every new metrics file."""
        if not outcome.new:
            return
        if outcome.pipeline == "forecast":
            for version in outcome.new:
                forecast_numbers(self.root / FINAL["forecast"] / version / "forecast.csv")
        metrics = "08_reporting/test_metrics.json"
        if outcome.pipeline in ("train", "evaluate", "publish") and self.versions(metrics):
            path = self.newest(metrics)
            try:
                json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
            except ValueError as error:
                raise Wrong(f"test_metrics.json: {error}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"the number {name}")


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
