"""A checkpoint is published atomically, whatever fails while it is written."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from records import finished
from timellm_pipeline import files
from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.model.intervals import Intervals
from timellm_pipeline.series.identity import digest_of_file, sealed, unsealed
from timellm_pipeline.training.checkpoint import CheckpointStore, RunFolder
from timellm_pipeline.training.result import read_finished, write_finished

# Everything that changes the disk while a checkpoint is written, by where the program looks it up.
OPERATIONS: list[tuple[Any, str]] = [
    (Path, "mkdir"),
    (safetensors.torch, "save_file"),
    (torch, "save"),
    (Path, "write_text"),
    (Path, "write_bytes"),
    (os, "fsync"),
    (Path, "rename"),
    (Path, "replace"),
    (shutil, "rmtree"),
]


class Killed(BaseException):
    """Represents SIGKILL or a power failure."""


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

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            mine = len(seen) - 1 == number
            if mine and when == "before":
                raise error()
            result = original(*args, **kwargs)
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
def test_a_crash_at_any_operation_leaves_a_complete_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """One gap between writing and publishing, or between deleting and writing, loses hours."""
    probe = CheckpointStore(tmp_path / "probe").run("an-id")
    probe.open({})
    for step in (1, 2):
        save(probe, step)
    operations = operations_of_a_save(probe, monkeypatch)
    assert {"save_file", "save", "fsync", "rename", "replace", "rmtree"} <= set(operations)
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
    """A damaged folder must not stop the run that repeats its step."""
    save(run, 1)
    save(run, 2)
    (run.folder / "step-000000002" / "state.pt").write_bytes(b"corrupt")
    assert run.newest().step == 1
    save(run, 2)
    assert run.newest().step == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_or_broken_disk_is_one_error_and_costs_no_older_checkpoint(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Deleting the old checkpoint before the new one is written leaves nothing on a full disk."""
    for step in (1, 2):
        save(run, step)
    until_published = operations_of_a_save(run, monkeypatch).index("replace") + 1
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
    """safetensors raises its own error class, which is no OSError."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise safetensors.SafetensorError("I/O error: No space left on device")

    save(run, 1)
    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(CheckpointError, match="step 2 needs about"):
        save(run, 2)
    assert run.newest().step == 1 and not list(run.folder.glob(".partial-*"))


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_drive_that_does_not_sync_is_reported_once_and_used(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """Mounted drives refuse fsync; refusing to train on them would help nobody."""

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(files, "_reported", set())
    for step in (1, 2, 3):
        save(run, step)
    assert run.newest().step == 3
    assert caplog.text.count("cannot flush") == 1


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    pauses: list[float] = []
    monkeypatch.setattr(files.time, "sleep", pauses.append)
    monkeypatch.setattr(files, "_reported", set())
    return pauses


def refuse_renames(patch: pytest.MonkeyPatch, code: int, times: int = 1_000_000) -> None:
    """Refuse the next so many renames, of files and of folders."""
    left = [times]
    for name in ("rename", "replace"):
        original = getattr(Path, name)

        def refused(path: Path, target: Path, original: Callable[..., Any] = original) -> Any:
            left[0] -= 1
            if left[0] >= 0:
                raise OSError(code, os.strerror(code))
            return original(path, target)

        patch.setattr(Path, name, refused)


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.EXDEV])
def test_a_drive_that_does_not_rename_gets_complete_copies_and_is_reported_once(
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    no_waiting: list[float],
    code: int,
) -> None:
    """Mounted drives refuse renames of folders too; nine hours of training must not end there."""
    refuse_renames(monkeypatch, code)
    for step in range(1, 6):
        save(run, step)
    (run.folder / "step-000000005" / "state.pt").write_bytes(b"corrupt")
    assert run.newest().step == 4
    save(run, 5)
    write_finished(run.folder, finished(), Intervals(np.zeros((8, 1, 2), dtype=np.float32)))
    assert run.newest().step == 5 and read_finished(run.folder).best_step == 5
    assert [path.name for path in sorted(run.folder.glob("*step-*"))] == ["step-000000004", "step-000000005"]
    assert not list(run.folder.glob(".*"))
    assert caplog.text.count("cannot rename") == 1


def test_an_interrupted_copy_does_not_count(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, no_waiting: list[float]
) -> None:
    """Where renames are refused a folder appears file by file; its digests come last."""
    for step in (1, 2):
        save(run, step)
    refuse_renames(monkeypatch, errno.ENOTSUP)
    copied: list[str] = []
    original = shutil.copyfile

    def dying(source: Path, target: Path) -> None:
        if len(copied) == allowed:
            raise Killed
        copied.append(source.name)
        original(source, target)

    monkeypatch.setattr(shutil, "copyfile", dying)
    # Each of four files is copied beside its place, and into it after the rename was refused.
    for allowed in range(8):  # noqa: B007 - `dying` reads it
        copied.clear()
        with pytest.raises(Killed):
            save(run, 3)
        assert run.newest().step == 2
    copied.clear()
    allowed = 8
    save(run, 3)
    assert run.newest().step == 3 and copied[-1] == "manifest.json"


def test_a_file_that_is_briefly_in_use_is_waited_for(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, no_waiting: list[float]
) -> None:
    """On Windows a virus scanner holds a new file open, and the rename is refused until it lets go."""
    refuse_renames(monkeypatch, errno.EACCES, times=3)
    save(run, 1)
    assert run.newest().step == 1 and no_waiting == [0.2, 1.0, 5.0] and not caplog.text


def test_skipped_checkpoints_do_not_displace_complete_ones(run: RunFolder) -> None:
    """Two damaged newer folders would fill `keep`, and the next save would delete the only complete ones."""
    for step in (1, 2, 3, 4):
        save(run, step, keep=4)
    for step in (3, 4):
        (run.folder / f"step-{step:09d}" / "manifest.json").unlink()
    assert run.newest().step == 2
    run.save(2, {"weight": torch.zeros(1)}, {}, "", content={}, keep=2, best_step=None)
    assert [path.name[-1] for path in sorted(run.folder.glob("step-*"))] == ["1", "2"]


def test_a_second_process_in_one_folder_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    """Two processes of one training would prune each other's checkpoints."""
    hold = "import sys, time; from pathlib import Path; from timellm_pipeline.training.checkpoint import RunFolder\n"
    hold += "with RunFolder(Path(sys.argv[1]), 'id').alone(): print('in', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(CheckpointError, match="another process"), RunFolder(tmp_path, "id").alone():
            pass
        other.kill()
        other.wait()
    with RunFolder(tmp_path, "id").alone():
        pass


def test_a_drive_without_locks_is_reported_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some mounted drives have no locks; training there is still better than none."""

    def refuse(lock: Any, timeout: float) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(files, "_reported", set())
    monkeypatch.setattr(files.FileLock, "acquire", refuse)
    for _ in range(2):
        with RunFolder(tmp_path, "id").alone():
            pass
    assert caplog.text.count("does not support locks") == 1


def test_old_checkpoints_are_deleted_but_never_the_best_nor_below_two(run: RunFolder) -> None:
    """Without its best checkpoint a run has no model at its end."""
    for step in range(1, 8):
        save(run, step, keep=1, best=2 if step >= 2 else None)
    assert [path.name[-1] for path in sorted(run.folder.glob("step-*"))] == ["2", "6", "7"]


def test_a_checkpoint_that_cannot_be_deleted_is_kept_and_reported(
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


def test_a_root_that_cannot_be_written_is_reported_with_what_to_do(tmp_path: Path) -> None:
    """Found out at the first save, this would cost the steps before it."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        CheckpointStore(tmp_path / "file").run("an-id").open({})
    assert "checkpoint_root" in caught.value.do and str(tmp_path) in caught.value.where


def test_too_little_space_is_reported_before_training(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
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
    content = unsealed(json.loads(manifest))
    content["sha256"]["state.pt"] = digest_of_file(folder / "state.pt")
    (folder / "manifest.json").write_text(json.dumps(sealed(content)), encoding="utf-8")
    with pytest.raises(CheckpointError, match="other values than tensors") as caught:
        run.newest().state()
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()
