"""Files that are there whole or not at all, on local disks and on mounted drives that refuse half of POSIX."""

import errno
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from timellm_pipeline.errors import CheckpointError

log = logging.getLogger(__name__)

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EXDEV}
WAITS = (0.2, 1.0, 5.0)  # seconds; on Windows a virus scanner holds new files for a moment
_said: set[tuple[str, int]] = set()  # what a drive does not do, with the drive's device number


def sync_file(path: Path) -> None:
    """Ask the disk to hold the file now. A drive that refuses is said once; the digests decide later."""
    # Opened for writing, because Windows flushes no file that is open for reading.
    with path.open("rb+") as file:
        _sync(file.fileno(), path)


def sync_folder(path: Path) -> None:
    """Ask the disk to hold the folder's entries now; Windows has no such thing and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync(descriptor, path)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file beside its place, then move it there in one step."""
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    partial.write_bytes(content)
    sync_file(partial)
    try:
        move(partial, path)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        path.write_bytes(content)
        sync_file(path)
        partial.unlink()
    sync_folder(path.parent)


def publish_folder(partial: Path, final: Path, seal: str) -> None:
    """Move a finished folder to its place in one step; what stands there (a damaged one) goes first.

    A drive that refuses to rename folders gets a copy, with the file named `seal`, which holds the digests of the
    others, written last: without it a folder does not count.
    """
    remove_folder(final)
    try:
        move(partial, final)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        final.mkdir(exist_ok=True)
        (final / seal).unlink(missing_ok=True)
        for source in sorted(partial.iterdir(), key=lambda path: path.name == seal):
            shutil.copyfile(source, final / source.name)
            sync_file(final / source.name)
        remove_folder(partial)
    sync_folder(final.parent)


def remove_folder(path: Path) -> bool:
    """Delete a folder if it can be deleted. Renamed first, so that half a folder never carries its name.

    Returns whether it is gone. What is not (somebody reads it on Windows, or the drive lags) is said, and swept later.
    """
    if not path.exists():
        return True
    doomed = path if path.name.startswith(".") else path.with_name(f".gone-{path.name}-{os.getpid()}")
    if doomed != path:
        try:
            path.rename(doomed)
        except OSError:
            doomed = path
    try:
        if doomed.name.startswith("."):  # a mounted drive may keep what is deleted, and count it: let it keep nothing
            for file in (path for path in doomed.rglob("*") if path.is_file()):
                os.truncate(file, 0)
        shutil.rmtree(doomed)
    except OSError as error:
        log.warning("%s could not be removed now (%s)", path, error)
    return not path.exists()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep a second process out of a folder. The system drops the lock when its holder dies, however it dies.

    Raises CheckpointError when another process is in there. A drive that has no locks is said once.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CheckpointError(
            "another process is training this very training",
            where=str(folder),
            do="wait until it ends, or stop it: the same command then goes on from its newest checkpoint",
        ) from error
    except (OSError, NotImplementedError) as error:
        _say_once("lock", folder, f"has no locks ({error}); take care that one process alone trains there")
        yield
        return
    try:
        yield
    finally:
        lock.release()


def move(source: Path, target: Path) -> None:
    """Rename, waiting a little for those who hold the file. Raises OSError, said once, if it stays refused."""
    drive = source.parent.stat().st_dev
    refused = ("rename", drive) in _said
    for wait in (*WAITS, None):
        try:
            source.replace(target)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            if wait is None or refused or not isinstance(error, PermissionError):
                _say_once(
                    "rename", source.parent, f"does not rename ({error.strerror}); checkpoints are copied instead"
                )
                raise
        time.sleep(wait)


def _sync(descriptor: int, path: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _say_once("sync", path, f"does not sync ({error.strerror}); digests will tell a whole file from a torn one")


def _say_once(what: str, path: Path, message: str) -> None:
    key = (what, path.stat().st_dev)
    if key not in _said:
        _said.add(key)
        log.warning("the drive at %s %s", path, message)
