"""Deleting and writing never reach outside our own folders."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from timellm_pipeline.errors import StorageError, UserError
from timellm_pipeline.files import append_line, exclusive, remove_folder, write_atomic, write_in_place

posix = pytest.mark.skipif(os.name == "nt", reason="needs symbolic links and `cp -al`")
BUSY = UserError("busy", where="here", do="wait")


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A folder of ours with two files."""
    folder = tmp_path / "ours" / "version"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text("a", encoding="utf-8")
    (folder / "inner" / "b.txt").write_text("b", encoding="utf-8")
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of somebody else."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious", encoding="utf-8")
    return folder


@posix
def test_a_backup_of_hard_links_keeps_its_content(tmp_path: Path, version: Path) -> None:
    """`cp -al` is how people back up large folders; emptying a file before deleting it would empty the backup."""
    subprocess.run(["cp", "-al", str(version), str(tmp_path / "backup")], check=True)
    assert remove_folder(version)
    assert (tmp_path / "backup/a.txt").read_text(encoding="utf-8") == "a"
    assert (tmp_path / "backup/inner/b.txt").read_text(encoding="utf-8") == "b"


@posix
def test_links_inside_a_folder_are_removed_and_their_targets_stay(version: Path, victim: Path) -> None:
    """A linked file, a linked folder, a link in the place of the folder itself."""
    (version / "file").symlink_to(victim / "precious.txt")
    (version / "folder").symlink_to(victim, target_is_directory=True)
    assert remove_folder(version) and not version.exists()
    version.symlink_to(victim, target_is_directory=True)
    assert remove_folder(version) and not version.is_symlink()
    hidden = version.with_name(".partial-x")
    hidden.symlink_to(victim, target_is_directory=True)
    assert remove_folder(hidden) and not hidden.is_symlink()
    assert (victim / "precious.txt").read_text(encoding="utf-8") == "precious"


def test_own_files_are_empty_when_they_are_deleted(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted drive may move deleted files to a bin that counts: ten hours of checkpoints would fill it."""
    sizes: list[int] = []

    def count(path: Path) -> None:
        sizes.extend(file.stat().st_size for file in path.rglob("*.txt"))

    monkeypatch.setattr(shutil, "rmtree", count)
    remove_folder(version)
    assert sizes == [0, 0]


@posix
def test_nothing_is_written_through_a_link(tmp_path: Path, victim: Path) -> None:
    """In a shared folder somebody else may put a link where one of our files will be."""
    link = tmp_path / "history.csv"
    link.symlink_to(victim / "precious.txt")
    with pytest.raises(OSError, match="link"):
        write_in_place(link, b"overwritten")
    with pytest.raises(StorageError, match="this is a link"):
        append_line(link, "overwritten")
    with pytest.raises(StorageError, match="this is a link"), exclusive(link, BUSY):
        pass
    planted = tmp_path / f".facts.json-{os.getpid()}"
    planted.symlink_to(victim / "precious.txt")
    write_atomic(tmp_path / "facts.json", b"facts")
    write_atomic(link, b"ours")
    assert (victim / "precious.txt").read_text(encoding="utf-8") == "precious"
    assert (tmp_path / "facts.json").read_bytes() == b"facts"
    assert link.read_bytes() == b"ours" and not link.is_symlink(), "the link is replaced, not followed"


@posix
@pytest.mark.parametrize("write", [write_in_place, lambda path, content: append_line(path, content.decode())])
def test_a_backup_does_not_change_when_our_file_grows(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    """The live history and the decision journal are written in place; a hard link shares their content."""
    file, backup = tmp_path / "file", tmp_path / "backup"
    file.write_bytes(b"one\n")
    os.link(file, backup)
    write(file, b"two")
    assert backup.read_bytes() == b"one\n" and b"two" in file.read_bytes()


def test_a_line_after_an_interrupted_one_stays_readable(tmp_path: Path) -> None:
    """Appended to half a line, a whole one would be lost with it."""
    path = tmp_path / "lines"
    append_line(path, "one")
    path.write_bytes(path.read_bytes() + b"hal")
    append_line(path, "two")
    assert path.read_bytes() == b"one\nhal\ntwo\n"


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_lock_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Taken for a drive without locks, it would let two processes in."""
    (tmp_path / "lock").touch()
    (tmp_path / "lock").chmod(0o400)
    with pytest.raises(StorageError, match="lock file cannot be written"), exclusive(tmp_path / "lock", BUSY):
        pass
