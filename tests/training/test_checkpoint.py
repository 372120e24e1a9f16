"""A checkpoint is there whole or not at all, whatever fails while it is written."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.series.identity import digest_of_file
from timellm_pipeline.training import files
from timellm_pipeline.training.checkpoint import CheckpointStore, RunFolder

# Everything that changes the disk while a checkpoint is written, by where the program looks it up.
OPERATIONS: list[tuple[Any, str]] = [
    (Path, "mkdir"),
    (safetensors.torch, "save_file"),
    (torch, "save"),
    (Path, "write_text"),
    (Path, "write_bytes"),
    (os, "fsync"),
    (Path, "rename"),
    (shutil, "rmtree"),
]


class Killed(BaseException):
    """Stands for SIGKILL or a power cut."""


def save(run: RunFolder, step: int, *, keep: int = 2, best: int | None = None) -> None:
    weights = {"weight": torch.full((64,), float(step))}
    run.save(step, weights, {"run": {"step": step}}, f"step\n{step}\n", content={}, keep=keep, best_step=best)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = CheckpointStore(tmp_path / "root").run("an-id")
    run.open({"facts": 1})
    return run


@contextmanager
def failing(
    patch: pytest.MonkeyPatch, number: int, when: str, error: Callable[[], BaseException]
) -> Iterator[list[str]]:
    """Raise before or after the operation of that number; yields the names of the operations that began."""
    seen: list[str] = []

    def wrap(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            mine = len(seen) - 1 == number
            if mine and when == "before":
                raise error()
            result = whole(*args, **kwargs)
            if mine:
                raise error()
            return result

        return wrapped

    with patch.context() as inner:
        for owner, name in OPERATIONS:
            inner.setattr(owner, name, wrap(name, getattr(owner, name)))
        yield seen


def operations_of_a_save(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    with failing(monkeypatch, -1, "before", Killed) as seen:
        save(run, 3)
    return seen


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_operation_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """One gap between writing and publishing, or between deleting and writing, loses hours."""
    probe = CheckpointStore(tmp_path / "probe").run("an-id")
    probe.open({})
    for step in (1, 2):
        save(probe, step)
    operations = operations_of_a_save(probe, monkeypatch)
    assert {"save_file", "save", "fsync", "rename", "rmtree"} <= set(operations)
    for number, name in enumerate(operations):
        run = CheckpointStore(tmp_path / f"{when}-{number}").run("an-id")
        run.open({})
        for step in (1, 2):
            save(run, step)
        with failing(monkeypatch, number, when, Killed), pytest.raises(Killed):
            save(run, 3)
        found = run.newest()
        assert found is not None and found.step in (2, 3), (number, name)
        assert torch.equal(found.weights()["weight"], torch.full((64,), float(found.step)))
        assert found.state() == {"run": {"step": found.step}} and found.history() == f"step\n{found.step}\n"
        save(run, 4)
        assert run.newest().step == 4
        assert not [path.name for path in run.folder.iterdir() if path.name.startswith(".")], (number, name)


def test_a_step_saved_again_after_a_fallback_replaces_the_damaged_one(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged folder in the way must not stop the run that repeats its step."""
    save(run, 1)
    save(run, 2)
    (run.folder / "step-000000002" / "state.pt").write_bytes(b"torn")
    assert run.newest().step == 1
    save(run, 2)
    assert run.newest().step == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_or_broken_disk_is_one_error_and_costs_no_older_checkpoint(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """accelerate deletes the old checkpoint before it writes the new one; a full disk then leaves nothing."""
    for step in (1, 2):
        save(run, step)
    until_published = operations_of_a_save(run, monkeypatch).index("rename") + 1
    for number in range(until_published):
        with (
            failing(monkeypatch, number, "before", lambda: OSError(code, os.strerror(code))),
            pytest.raises(CheckpointError) as caught,
        ):
            save(run, 4)
        assert "step 4 needs about" in caught.value.what and "run the same command again" in caught.value.do
        assert run.newest().step == 3
        assert not list(run.folder.glob(".partial-*"))


def test_a_full_disk_inside_safetensors_is_the_same_error(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors raises an error of its own, which is no OSError."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise safetensors.SafetensorError("I/O error: No space left on device")

    save(run, 1)
    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(CheckpointError, match="step 2 needs about"):
        save(run, 2)
    assert run.newest().step == 1 and not list(run.folder.glob(".partial-*"))


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_drive_that_does_not_sync_is_said_once_and_used(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """Mounted drives refuse fsync; refusing to train on them would help nobody."""

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(files, "_said", set())
    for step in (1, 2, 3):
        save(run, step)
    assert run.newest().step == 3
    assert caplog.text.count("does not sync") == 1


def test_old_checkpoints_go_but_never_the_best_nor_below_two(run: RunFolder) -> None:
    """Without its best checkpoint a run has no model to give at its end."""
    for step in range(1, 8):
        save(run, step, keep=1, best=2 if step >= 2 else None)
    assert [path.name[-1] for path in sorted(run.folder.glob("step-*"))] == ["2", "6", "7"]


def test_a_checkpoint_that_cannot_be_deleted_is_left_and_said(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Windows refuses to delete a file that a virus scanner or a viewer holds open."""
    for step in (1, 2):
        save(run, step)

    def refuse(path: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "The process cannot access the file")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        save(run, 3)
    assert run.newest().step == 3 and "could not be removed now" in caplog.text
    save(run, 4)
    assert not list(run.folder.glob(".gone-*"))


def test_a_root_that_cannot_be_written_is_said_with_what_to_do(tmp_path: Path) -> None:
    """Found out at the first save, this would cost the steps before it."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        CheckpointStore(tmp_path / "file").run("an-id").open({})
    assert "checkpoint_root" in caught.value.do and str(tmp_path) in caught.value.where


def test_too_little_room_is_said_before_training(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive that is full after nine hours loses the tenth."""
    run.refuse_too_little_room(checkpoint_bytes=1000, count=4)
    free = shutil.disk_usage(run.folder)._replace(free=2_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(CheckpointError, match="4 checkpoints of 1 MiB need 4 MiB"):
        run.refuse_too_little_room(checkpoint_bytes=2**20, count=4)


def test_nothing_in_a_checkpoint_is_unpickled(run: RunFolder, tmp_path: Path) -> None:
    """A checkpoint on a shared drive must not be able to run code."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "pwned"),))

    save(run, 1)
    folder = run.folder / "step-000000001"
    torch.save({"run": Evil()}, folder / "state.pt")
    manifest = (folder / "manifest.json").read_text(encoding="utf-8")
    content = json.loads(manifest)
    content["sha256"]["state.pt"] = digest_of_file(folder / "state.pt")
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(Exception, match="[Ww]eights"):
        run.newest().state()
    assert not (tmp_path / "pwned").exists()
