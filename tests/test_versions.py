"""Versions are published in one step, never deleted while they are in use, and never older than the newest."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from timellm_pipeline import files
from timellm_pipeline.errors import StorageError
from timellm_pipeline.versions import Mark, Versions, newer_than


def day(number: int) -> str:
    return f"2026-01-{number:02d}T00.00.00.000Z"


def publish(versions: Versions, number: int) -> Mark:
    mark = versions.publish(day(number), lambda path: path.write_text(str(number), encoding="utf-8") and None)
    assert mark is not None
    return mark


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    """Five versions that nobody uses."""
    made = Versions(tmp_path / "facts.json")
    for number in range(1, 6):
        publish(made, number).release()
    return made


def hold(versions: Versions, version: str) -> "subprocess.Popen[str]":
    """Another process that uses a version until its input ends."""
    code = "import sys; from pathlib import Path; from timellm_pipeline.versions import Versions\n"
    code += "mark = Versions(Path(sys.argv[1])).use(sys.argv[2]); print('in', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code, str(versions.folder), version]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "in\n"
    return other


def test_the_newest_stay_and_what_is_protected(versions: Versions) -> None:
    """The champion may be older than everything else."""
    versions.prune(2, lambda: {day(1)})
    assert versions.names() == [day(5), day(4), day(1)]


def test_what_another_process_uses_stays_until_it_ends_however_it_ends(versions: Versions) -> None:
    """A long training's inputs were deleted by five short runs beside it."""
    with hold(versions, day(1)) as other:
        versions.prune(1)
        assert versions.names() == [day(5), day(1)]
        other.kill()
        other.wait()
    versions.prune(1)
    assert versions.names() == [day(5)]
    assert [path.name for path in (versions.folder / ".in-use").iterdir()] == ["lock"]


def test_what_this_process_has_just_written_is_kept_with_versions_of_the_future(tmp_path: Path) -> None:
    """With the clock set back, each save deleted itself."""
    versions = Versions(tmp_path / "facts.json")
    for number in range(1, 6):
        versions.publish(f"2030-01-0{number}T00.00.00.000Z", lambda path: path.touch()).release()
    mark = publish(versions, 1)
    versions.prune(2)
    assert versions.names()[-1] == day(1)
    mark.release()
    versions.prune(2)
    assert day(1) not in versions.names()


@pytest.mark.parametrize("wanted", ["2026-01-01T00.00.00.007Z", "2029-12-31T23.59.59.999Z"])
def test_a_version_is_never_older_than_the_newest(wanted: str) -> None:
    """`forecast` would silently use the older model."""
    newest = "2029-12-31T23.59.59.999Z"
    assert newer_than(newest, wanted) > newest
    assert newer_than("2020-01-01T00.00.00.000Z", wanted) == wanted


def test_a_version_name_that_nothing_can_follow_is_an_error() -> None:
    """A folder made by hand may be named so."""
    for newest in ("2026-13-45T00.00.00.000Z", "9999-12-31T23.59.59.999Z"):
        with pytest.raises(StorageError, match="no version name can follow"):
            newer_than(newest, day(1))


def test_what_killed_processes_left_goes_and_what_a_live_one_writes_stays(versions: Versions) -> None:
    """Half-written versions filled the disk for ever."""
    dead, alive = (versions.folder / f".partial-{day(number)}-1" for number in (7, 8))
    gone = versions.folder / f".gone-{day(2)}-1"
    for folder in (dead, alive, gone):
        folder.mkdir()
    with hold(versions, day(8)) as other:
        versions.prune(5)
        assert (dead.exists(), gone.exists(), alive.exists()) == (False, False, True)
        other.communicate()
    versions.prune(5)
    assert not alive.exists()


def test_what_is_not_ours_is_neither_counted_nor_deleted(versions: Versions) -> None:
    """A copy that somebody put beside the versions must not count as the newest, nor push one out."""
    for name in ("my copy", "zzz", ".partial-x", ".hidden", "2026-01-01"):
        (versions.folder / name).mkdir()
    versions.prune(2)
    assert versions.names() == [day(5), day(4)]
    assert {"my copy", "zzz", ".partial-x", ".hidden", "2026-01-01"} < {path.name for path in versions.folder.iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_a_version_that_was_moved_away_and_linked_back_keeps_its_content(tmp_path: Path, versions: Versions) -> None:
    """People move old versions to a larger disk and leave a link."""
    archive = tmp_path / "archive"
    (versions.folder / day(1)).rename(archive)
    (versions.folder / day(1)).symlink_to(archive, target_is_directory=True)
    planted = versions.folder / f".partial-{day(1)}-77"
    planted.symlink_to(archive, target_is_directory=True)
    versions.prune(1)
    assert versions.names() == [day(5)] and not planted.is_symlink()
    assert (archive / "facts.json").read_text(encoding="utf-8") == "1"


def test_a_version_is_never_written_over(versions: Versions) -> None:
    """Two runs of one name would mix their results."""
    with pytest.raises(StorageError, match="version"):
        publish(versions, 5)


def test_a_failed_write_leaves_nothing(versions: Versions) -> None:
    """Half a version would be the newest."""

    def fail(path: Path) -> None:
        path.write_text("half", encoding="utf-8")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        versions.publish(day(9), fail)
    assert sorted(path.name for path in versions.folder.iterdir()) == [".in-use", *map(day, range(1, 6))]


def test_a_drive_that_cannot_rename_folders_gets_complete_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints could be kept on such a drive, and no result could."""
    original = Path.replace

    def refuse_folders(path: Path, target: Path) -> Path:
        if path.is_dir():
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return original(path, target)

    def write_folder(path: Path) -> None:
        path.mkdir()
        for name in ("a.txt", "config.json", "z.txt"):
            (path / name).write_text(name, encoding="utf-8")

    copied: list[str] = []
    original_copy = files._copy
    monkeypatch.setattr(Path, "replace", refuse_folders)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(
        files, "_copy", lambda source, target: (copied.append(source.name), original_copy(source, target))
    )
    text, folder = Versions(tmp_path / "facts.json"), Versions(tmp_path / "model")
    text.publish(day(1), lambda path: path.write_text("1", encoding="utf-8") and None)
    folder.publish(day(1), write_folder, "config.json")
    assert text.place(day(1)).read_text(encoding="utf-8") == "1" and text.names() == [day(1)]
    assert sorted(path.name for path in folder.place(day(1)).iterdir()) == ["a.txt", "config.json", "z.txt"]
    assert copied[-1] == "config.json", "a folder without it is not valid"
    assert not list(tmp_path.rglob(".partial-*"))
