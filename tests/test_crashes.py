"""Crash at every disk operation of a retraining, a rollback and a pruning, run the command again: nothing is lost.

Each run is a forked process that ends itself without any clean-up, as SIGKILL and a power failure do. Training and
scoring are replaced by their results: everything that touches the disk is real.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch

from conftest import small_parameters
from records import finished
from timellm_pipeline.diagnosis import diagnose
from timellm_pipeline.evaluation.alpha import Alpha
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.intervals import Intervals
from timellm_pipeline.model.saved import TrainedModel
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.retraining import retrain as module
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.retraining.scoring import Judged
from timellm_pipeline.series.prepare import Prepared, prepare
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.preparation import prepare_training
from timellm_pipeline.training.result import write_finished

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that dies on the spot needs fork")

# Everything that changes the disk, by where the program looks it up.
OPERATIONS: list[tuple[Any, str]] = [
    (Path, "mkdir"),
    (Path, "write_text"),
    (Path, "write_bytes"),
    (Path, "unlink"),
    (Path, "rename"),
    (Path, "replace"),
    (os, "fsync"),
    (os, "fdopen"),
    (os, "ftruncate"),
    (shutil, "rmtree"),
    (safetensors.torch, "save_file"),
]
KILLED = 137
WHEN = ["before", *(pytest.param(when, marks=pytest.mark.long) for when in ("after", "full"))]


def v(number: int) -> str:
    return f"2026-01-01T00.00.00.{number:03d}Z"


@dataclass
class Place:
    """A registry, a checkpoint store, and what a retraining is called with."""

    root: Path
    prepared: Prepared
    parameters: Parameters
    keep: int = 9

    @property
    def registry(self) -> Registry:
        return Registry(self.root / "models", self.keep)

    @property
    def store(self) -> CheckpointStore:
        return CheckpointStore(self.root / "checkpoints")

    def retrain(self, number: int, version: int) -> str:
        """The retraining of that number, as a model version: its decision."""
        parameters = self.parameters.model_copy(
            update={"training": self.parameters.training.model_copy(update={"seed": number})}
        )
        given = module.Retraining(
            self.prepared.training,
            self.prepared.series,
            self.prepared.split_borders.borders,
            parameters,
            BackboneSource(self.root / "cache"),
            self.store,
            self.registry,
            v(version),
        )
        return str(module.retrain(given, pd.Timestamp("2020-03-01"))["decision"])


@pytest.fixture
def place(tmp_path: Path, raw_series: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Three champions, one after the other; trainings cost nothing."""
    parameters = small_parameters(gates={"champion": False, "load": False})
    prepared = prepare(raw_series[["date", "OT"]], parameters)  # one channel: every process fits the linear part
    made = Place(tmp_path / "place", prepared, parameters)

    def train(data: Any, parameters: Any, source: Any, store: Any, version: str, start: Any) -> Any:
        training = prepare_training(data, parameters, source, store)
        facts = {"content_id": "c", "counts": {"trainable": 1}, "best_step": 1, "validation_mse": 0.5}
        config = training.model_config(**facts, alpha=Alpha(alpha=1, fitted=1))
        model = TrainedModel(config, {"weight": torch.zeros(2)}, data.scaler, training.linear)
        if not training.run.folder.exists():
            training.run.folder.mkdir(parents=True)
            intervals = Intervals(torch.zeros(8, 1, 12).numpy())
            write_finished(training.run.folder, finished(trained_in=version), intervals)
        return SimpleNamespace(model=model, record=SimpleNamespace(steps_run=1, resumed_from=[]))

    def score(context: Any, candidate: Any, champion: Any) -> Judged:
        return Judged([], {"version": candidate.folder.parent.name}, None)

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "score_candidate", score)
    for number in (1, 2, 3):
        assert made.retrain(number, number) == "promoted"
    return made


def run(call: Callable[[], Any], number: int, when: str) -> tuple[int, list[str]]:
    """Run in a process that dies before or after the operation of that number. Returns its status and operations."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            status = _in_child(call, number, when, writer)
        finally:
            os._exit(status if "status" in locals() else 1)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        seen = pipe.read().split()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen


def _in_child(call: Callable[[], Any], number: int, when: str, writer: int) -> int:
    count = 0

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            os.write(writer, f"{name} ".encode())
            mine, count = count == number, count + 1
            if mine and when == "before":
                os._exit(KILLED)
            if mine and when == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the disk")
            result = original(*args, **kwargs)
            if mine and when == "after":
                os._exit(KILLED)
            return result

        return wrapped

    for owner, name in OPERATIONS:
        setattr(owner, name, wrap(name, getattr(owner, name)))
    try:
        call()
    except Exception as error:
        return 1 if diagnose(error) is not None else 2
    return 0


def crashes(place: Place, call: Callable[[], Any], when: str) -> Iterator[tuple[int, str]]:
    """The state after a crash at each operation, one after the other. Yields the operation's number and name."""
    before = place.root.with_name("before")
    shutil.copytree(place.root, before, symlinks=True)
    status, operations = run(call, -1, when)
    assert status == 0 and len(operations) > 5, operations
    for number, name in enumerate(operations):
        shutil.rmtree(place.root)
        shutil.copytree(before, place.root, symlinks=True)
        status, _ = run(call, number, when)
        assert status == (KILLED if when != "full" else status), (number, name)
        assert status != 2, f"a traceback for a full disk at operation {number}, {name}"
        yield number, name


def assert_consistent(place: Place, where: tuple[int, str]) -> str:
    """Journal, pointer, versions and what `forecast` would take agree. Returns the champion's version."""
    registry = place.registry
    journal, champion = registry.journal(), registry.champion()
    assert champion is not None and not journal.damaged, where
    pointer = json.loads((registry.root / "champion.json").read_text(encoding="utf-8"))
    assert pointer["version"] == champion.version == journal.champions()[-1], where
    assert registry.model(champion.version).config.training_id == champion.training_id, where
    leftovers = [
        path.name for path in registry.versions.folder.iterdir() if path.name.startswith((".partial", ".gone"))
    ]
    assert not leftovers, where
    return champion.version


@pytest.mark.parametrize("when", WHEN)
def test_a_retraining_that_dies_anywhere_promotes_once_when_it_is_run_again(place: Place, when: str) -> None:
    """Between the decision and the pointer, the old champion used to stay for good."""
    place.keep = 2
    for where in crashes(place, lambda: place.retrain(4, 4), when):
        assert run(lambda: place.retrain(4, 5), -1, when)[0] == 0, where
        champion = assert_consistent(place, where)
        promoted = [one.version for one in place.registry.journal().decisions]
        assert champion in (v(4), v(5)) and promoted == [v(1), v(2), v(3), champion], where
        assert v(3) in place.registry.versions.names(), where
        assert place.registry.rollback() == (champion, v(3)), where


@pytest.mark.parametrize("when", WHEN)
def test_a_rollback_that_dies_anywhere_skips_no_champion_when_it_is_run_again(place: Place, when: str) -> None:
    """With A, B, C it used to land on A."""
    for where in crashes(place, place.registry.rollback, when):
        pointer = json.loads((place.registry.root / "champion.json").read_text(encoding="utf-8"))["version"]
        assert run(place.registry.rollback, -1, when)[0] == 0, where
        # Once the pointer names it, the rollback was done: the next one is another one.
        expected = {v(3): v(2), v(2): v(1)}[pointer]
        assert assert_consistent(place, where) == expected, where
        rolled = [one.version for one in place.registry.journal().decisions[3:]]
        assert rolled == ([v(2)] if expected == v(2) else [v(2), v(1)]), where


@pytest.mark.parametrize("when", WHEN)
def test_a_pruning_that_dies_anywhere_is_completed_by_the_next(place: Place, when: str) -> None:
    """An incomplete version, or a checkpoint folder that no journal line names any more, would stay forever."""
    for number in (4, 5, 6):
        place.retrain(number, number)
    place.keep = 2
    for where in crashes(place, lambda: place.registry.prune(place.store), when):
        assert place.registry.champion().version == v(6), where
        assert run(lambda: place.registry.prune(place.store), -1, when)[0] == 0, where
        assert assert_consistent(place, where) == v(6)
        assert place.registry.versions.names() == [v(6), v(5)], where
        kept = {path.name for path in place.store.root.iterdir()}
        assert kept == {place.registry.model(version).config.training_id for version in (v(6), v(5))}, where


def test_an_incomplete_line_is_no_decision_and_blocks_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk in the middle of the line: the decision was not committed."""
    journal = place.registry.root / "decisions.jsonl"
    committed, pointer = journal.read_bytes(), (place.registry.root / "champion.json").read_bytes()
    place.retrain(4, 4)
    (place.registry.root / "champion.json").write_bytes(pointer)
    line = journal.read_bytes()[len(committed) :]
    for length in range(1, len(line) - 1, 40):
        journal.write_bytes(committed + line[:length])
        assert place.registry.champion().version == v(3)
        assert "line(s) 4 cannot be read" in caplog.text
    assert place.retrain(4, 5) == "promoted" and place.registry.champion().version == v(5)
    assert place.registry.rollback() == (v(5), v(3))
