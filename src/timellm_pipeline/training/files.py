"""Files that are there whole or not at all, on local disks and on mounted drives that refuse half of POSIX."""

import errno
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}
_said: set[int] = set()  # drives, by device number


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
    partial.replace(path)
    sync_folder(path.parent)


def publish_folder(partial: Path, final: Path) -> None:
    """Move a finished folder to its place in one step. What stands there (a damaged one) is moved aside first."""
    if final.exists():
        aside = final.with_name(f".old-{final.name}-{os.getpid()}")
        remove_folder(aside)
        final.rename(aside)
        partial.rename(final)
        remove_folder(aside)
    else:
        partial.rename(final)
    sync_folder(final.parent)


def remove_folder(path: Path) -> None:
    """Delete a folder if it can be deleted. Renamed first, so that half a folder never carries its name."""
    if not path.exists():
        return
    doomed = path if path.name.startswith(".") else path.with_name(f".gone-{path.name}-{os.getpid()}")
    try:
        if doomed != path:
            path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:  # somebody reads it (Windows), or the drive lags: it is swept at the next save
        log.warning("%s could not be removed now (%s)", path, error)


def _sync(descriptor: int, path: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        drive = path.stat().st_dev
        if drive not in _said:
            _said.add(drive)
            log.warning(
                "the drive at %s does not sync (%s); digests will tell a whole checkpoint from a torn one",
                path,
                error.strerror,
            )
