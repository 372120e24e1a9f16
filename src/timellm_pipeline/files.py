"""Atomic writes, locks and safe deletion, on local disks and on mounted drives that lack parts of POSIX.

Two rules hold for everything here. A file or folder appears complete or not at all. Nothing outside our own folders is
changed: symbolic links are never followed when we write or delete, and a file with more than one hard link (a backup
made with `cp -al`) is only ever unlinked.
"""

import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from timellm_pipeline.errors import StorageError, UserError

log = logging.getLogger(__name__)

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EXDEV}
NO_LOCKS = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EBADF}
WAITS = (0.2, 1.0, 5.0)  # seconds; on Windows a virus scanner holds new files for a moment
_reported: set[tuple[str, int]] = set()  # what a drive cannot do, with the drive's device number


def sync_file(path: Path) -> None:
    """Flush a file to the disk. A drive that cannot is reported once; digests detect the damage later."""
    # Opened for writing, because Windows flushes no file that is open for reading.
    with path.open("rb+") as file:
        _sync(file.fileno(), path)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync(descriptor, path)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a small file beside its place, flush it, and rename it into place. A link at `path` is replaced."""
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    _write_new(partial, content)
    try:
        move(partial, path)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _write_new(path, content)
        partial.unlink()
    sync_folder(path.parent)


def write_in_place(path: Path, content: bytes) -> None:
    """Overwrite a file that a viewer may hold open. Raises OSError when `path` is a link."""
    if is_link(path):
        raise OSError(errno.ELOOP, "it is a link, and links are not written through", str(path))
    if path.exists() and path.stat().st_nlink > 1:  # a backup shares it
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def append_line(path: Path, line: str) -> None:
    """Append one line and flush it: once this returns, the line survives a power failure.

    A last line without its line break (an interrupted write) is ended first, so that it damages no other line.
    Raises StorageError when `path` is a link, OSError when the disk is full.
    """
    if is_link(path):
        raise link_refused(path)
    existing = path.read_bytes() if path.exists() else b""
    if existing and path.stat().st_nlink > 1:  # a backup shares it: continue in a copy of our own
        write_atomic(path, existing)
    start = b"\n" if existing and not existing.endswith(b"\n") else b""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(descriptor, "ab") as file:
        file.write(start + line.encode() + b"\n")
        file.flush()
        _sync(file.fileno(), path)
    sync_folder(path.parent)


def publish_folder(partial: Path, final: Path, seal: str) -> None:
    """Rename a finished folder into place. A damaged one in its place is removed first.

    A drive that cannot rename folders gets a copy, with the file named `seal`, which holds the digests of the others,
    written last: a folder without it does not count.
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
    """Delete one of our folders, and nothing outside it: a link is removed, what it points to stays.

    The folder is renamed first, so that an incomplete folder never carries its name. Returns whether it is gone. One
    that cannot be deleted now (somebody reads it on Windows, or the drive lags) is reported and deleted later.
    """
    try:
        if is_link(path) or path.is_file():
            path.unlink()
            return True
        if not path.exists():
            return True
    except OSError as error:
        log.warning("%s could not be removed now (%s)", path, error)
        return False
    doomed = path if path.name.startswith(".") else path.with_name(f".gone-{path.name}-{os.getpid()}")
    if doomed != path:
        try:
            path.rename(doomed)
        except OSError:
            doomed = path
    try:
        if doomed.name.startswith("."):
            _empty_own_files(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        log.warning("%s could not be removed now (%s)", path, error)
    return not path.exists()


def is_link(path: Path) -> bool:
    """Whether a path is a symbolic link or, on Windows, a junction."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(facts.st_mode) or getattr(facts, "st_reparse_tag", 0) == junction


def link_refused(path: Path) -> StorageError:
    """The error for a link where one of our own files should be."""
    return StorageError(
        "this is a link, and links are not written through: somebody else's file may be behind it",
        where=str(path),
        do="remove the link (its target stays), then run the same command again",
    )


@contextmanager
def exclusive(lock: Path, busy: UserError, timeout: float = 0) -> Iterator[None]:
    """Hold a lock file. The system drops the lock when its holder dies, however it dies.

    Raises `busy` when another process holds it for longer than `timeout` seconds, StorageError when the lock file is a
    link or cannot be written. A drive without locks is reported once.
    """
    if is_link(lock):
        raise link_refused(lock)
    held = FileLock(lock, thread_local=False)
    try:
        held.acquire(timeout=timeout)
    except Timeout as error:
        raise busy from error
    except (OSError, NotImplementedError) as error:
        if not lacks_locks(error):
            raise StorageError(
                f"the lock file cannot be written: {getattr(error, 'strerror', None) or error}",
                where=str(lock),
                do="make the file and its folder writable, or choose another folder",
            ) from error
        _report_once("lock", lock.parent, f"has no locks ({error}); make sure that only one process works there")
        yield
        return
    try:
        yield
    finally:
        held.release()


def lacks_locks(error: BaseException) -> bool:
    """Whether an error of a lock means that the drive has no locks."""
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in NO_LOCKS


def move(source: Path, target: Path) -> None:
    """Rename, waiting a little while another program holds the file. Raises OSError if it stays refused."""
    drive = source.parent.stat().st_dev
    refused = ("rename", drive) in _reported
    for wait in (*WAITS, None):
        try:
            source.replace(target)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            if wait is None or refused or not isinstance(error, PermissionError):
                _report_once("rename", source.parent, f"cannot rename ({error.strerror}); checkpoints are copied")
                raise
        time.sleep(wait)


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that is new: whatever has its name is unlinked, never written through."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        _sync(file.fileno(), path)


def _empty_own_files(folder: Path) -> None:
    """Empty the files of a folder before it is deleted: a mounted drive may keep deleted files and count their size.

    Only regular files with one name are emptied. A second hard link belongs to somebody's backup.
    """
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_link(Path(parent, name))]
        for name in names:
            path = Path(parent, name)
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
                descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
                try:
                    os.ftruncate(descriptor, 0)
                finally:
                    os.close(descriptor)


def _sync(descriptor: int, path: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _report_once("sync", path, f"cannot flush files ({error.strerror}); digests detect incomplete ones")


def _report_once(what: str, path: Path, message: str) -> None:
    key = (what, path.stat().st_dev)
    if key not in _reported:
        _reported.add(key)
        log.warning("the drive at %s %s", path, message)
