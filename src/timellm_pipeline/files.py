"""Atomic writes, locks and safe deletion, on local disks and on mounted drives without full POSIX support.

Two rules apply to every function. Writes are atomic: readers see a complete file or folder, or none. Nothing outside
our own folders is changed: symbolic links are never followed on writing or deleting, and a file with more than one
hard link (a backup made with `cp -al`) is only ever unlinked.
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
WAITS = (0.2, 1.0, 5.0)  # seconds between retries; on Windows a virus scanner briefly locks new files
_reported: set[tuple[str, int]] = set()  # unsupported operations that were logged, with the device number of the drive


def sync_file(path: Path) -> None:
    """Flush a file to disk. A drive without support is reported once; digests detect damage later."""
    # Opened for writing, because Windows cannot flush a file that is open for reading.
    with path.open("rb+") as file:
        _sync(file.fileno(), path)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to disk. Windows has no such call and does not need one."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync(descriptor, path)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a small file atomically: write a temporary file, flush it, rename it. A link at `path` is replaced."""
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
    """Overwrite a file that another program may have open. Raises OSError when `path` is a link."""
    if is_link(path):
        raise OSError(errno.ELOOP, "it is a link, and writing does not follow links", str(path))
    if path.exists() and path.stat().st_nlink > 1:  # a hard-linked backup shares the content
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def append_line(path: Path, line: str) -> None:
    """Append one line and flush it: after this returns, the line survives a power failure.

    When an interrupted write left the last line without a line break, the break is added first, so that no other line
    is damaged. Raises StorageError when `path` is a link, OSError when the disk is full.
    """
    if is_link(path):
        raise link_refused(path)
    existing = path.read_bytes() if path.exists() else b""
    if existing and path.stat().st_nlink > 1:  # a hard-linked backup shares it: continue in a copy
        write_atomic(path, existing)
    start = b"\n" if existing and not existing.endswith(b"\n") else b""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(descriptor, "ab") as file:
        file.write(start + line.encode() + b"\n")
        file.flush()
        _sync(file.fileno(), path)
    sync_folder(path.parent)


def publish_folder(partial: Path, final: Path, manifest: str) -> None:
    """Publish a complete folder with one atomic rename. A damaged folder at `final` is removed first.

    On a drive that cannot rename folders, the files are copied. The file named `manifest`, which contains the digests
    of the others, is copied last: a folder without it is not valid.
    """
    remove_folder(final)
    try:
        move(partial, final)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        for old in final.rglob(manifest) if manifest else ():
            old.unlink()
        files = [path for path in partial.rglob("*") if path.is_file()]
        for source in sorted(files, key=lambda path: (path.name == manifest, path)):
            _copy(source, final / source.relative_to(partial))
        remove_folder(partial)
    sync_folder(final.parent)


def remove_folder(path: Path) -> bool:
    """Delete one of our folders, and nothing outside it: a link is removed, its target is kept.

    The folder is renamed first, so that a partly deleted folder never has its name. Returns whether it is deleted. One
    that cannot be deleted now (a program reads it on Windows, or the drive lags) is logged and deleted later.
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
    renamed = path if path.name.startswith(".") else path.with_name(f".gone-{path.name}-{os.getpid()}")
    if renamed != path:
        try:
            path.rename(renamed)
        except OSError:
            renamed = path
    try:
        if renamed.name.startswith("."):
            _truncate_own_files(renamed)
        shutil.rmtree(renamed)
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
    """The StorageError for a link at the path of one of our own files."""
    return StorageError(
        "this is a link, and writing does not follow links: its target may be another program's file",
        where=str(path),
        do="remove the link (its target is kept), then run the same command again",
    )


@contextmanager
def exclusive(lock: Path, busy: UserError, timeout: float = 0) -> Iterator[None]:
    """Lock a file exclusively. The system releases the lock when the process ends, even if it is killed.

    Raises `busy` when another process has the lock for longer than `timeout` seconds, StorageError when the lock file
    is a link or cannot be written. A drive without lock support is reported once, and the block runs without a lock.
    """
    if is_link(lock):
        raise link_refused(lock)
    file_lock = FileLock(lock, thread_local=False)
    try:
        file_lock.acquire(timeout=timeout)
    except Timeout as error:
        raise busy from error
    except (OSError, NotImplementedError) as error:
        if not lacks_locks(error):
            raise StorageError(
                f"the lock file cannot be written: {getattr(error, 'strerror', None) or error}",
                where=str(lock),
                do="make the file and its folder writable, or choose another folder",
            ) from error
        _report_once("lock", lock.parent, f"does not support locks ({error}); make sure that only one process uses it")
        yield
        return
    try:
        yield
    finally:
        file_lock.release()


def lacks_locks(error: BaseException) -> bool:
    """Whether an error of a lock means that the drive does not support locks."""
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in NO_LOCKS


def move(source: Path, target: Path) -> None:
    """Rename a file or folder, with retries while another program has it open. Raises OSError if every try fails."""
    drive = source.parent.stat().st_dev
    already_reported = ("rename", drive) in _reported
    for wait in (*WAITS, None):
        try:
            source.replace(target)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            if wait is None or already_reported or not isinstance(error, PermissionError):
                _report_once("rename", source.parent, f"cannot rename ({error.strerror}); results are copied")
                raise
        time.sleep(wait)


def _copy(source: Path, target: Path) -> None:
    """Copy a file. It appears complete where the drive can rename files, and is written in place otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.copyfile(source, partial)
    sync_file(partial)
    try:
        partial.replace(target)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        shutil.copyfile(source, target)
        sync_file(target)
        partial.unlink()


def _write_new(path: Path, content: bytes) -> None:
    """Write a new file. An existing file or link with its name is unlinked first, never followed."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        _sync(file.fileno(), path)


def _truncate_own_files(folder: Path) -> None:
    """Truncate the files of a folder before it is deleted: a mounted drive may keep deleted files and count their size.

    Only regular files with a single hard link are truncated. A second hard link may belong to a backup.
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
        _report_once("sync", path, f"cannot flush files ({error.strerror}); digests detect incomplete files")


def _report_once(what: str, path: Path, message: str) -> None:
    key = (what, path.stat().st_dev)
    if key not in _reported:
        _reported.add(key)
        log.warning("the drive at %s %s", path, message)
