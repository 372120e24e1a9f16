"""The versions of one result: published with one atomic rename, marked while in use, deleted when old.

    <folder>/<version>/<name>                 a version; <name> is the folder's own name
    <folder>/.in-use/<version>-<pid>-<hex>    a file locked by a process that reads or wrote this version
    <folder>/.partial-<version>-<pid>         a version that is being written

The system releases the locks of a process that ends, so a mark without a lock has no effect, and a partial folder
whose version no process has locked can be deleted. Version names are Kedro's time stamps. Other files in the folder are
never changed.
"""

import logging
import os
import re
import secrets
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from timellm_pipeline.errors import StorageError
from timellm_pipeline.files import (
    exclusive,
    is_link,
    link_refused,
    publish_folder,
    remove_folder,
    sync_file,
    sync_folder,
)

log = logging.getLogger(__name__)

STAMP = r"\d{4}-\d{2}-\d{2}T\d{2}\.\d{2}\.\d{2}\.\d{3}Z"
VERSION = re.compile(STAMP)
MARK = re.compile(rf"({STAMP})-\d+-[0-9a-f]+")
LEFTOVER = re.compile(rf"\.(?:partial|gone)-({STAMP})-\d+")
STAMP_FORMAT = "%Y-%m-%dT%H.%M.%S.%f"
PATIENCE = 60.0  # seconds that a process waits while another one prunes


class Mark:
    """Prevents the deletion of one version until `release` is called or the process ends."""

    def __init__(self, lock: FileLock) -> None:
        self.release = weakref.finalize(self, _release_lock, lock, os.getpid())


@dataclass(frozen=True)
class Versions:
    """The versions of one result.

    Attributes:
        folder: folder of the result, such as `data/06_models/timellm_model`.
    """

    folder: Path

    def names(self) -> list[str]:
        """All versions, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((path.name for path in self.folder.iterdir() if VERSION.fullmatch(path.name)), reverse=True)

    def newest(self) -> str:
        """The newest version, or an empty string."""
        return next(iter(self.names()), "")

    def place(self, version: str) -> Path:
        """Path of the content of a version."""
        return self.folder / version / self.folder.name

    def use(self, version: str) -> Mark | None:
        """Mark a version as in use. Returns None if no lock is possible; then nothing is deleted there either."""
        lock = FileLock(self.folder / ".in-use" / f"{version}-{os.getpid()}-{secrets.token_hex(4)}", thread_local=False)
        try:
            with self._locked():
                lock.acquire(timeout=0)
        except (OSError, NotImplementedError, StorageError) as error:
            log.debug("%s cannot be marked as in use: %s", self.folder / version, error)
            return None
        return Mark(lock)

    def publish(self, version: str, write: Callable[[Path], None], manifest: str = "") -> Mark | None:
        """Write a version to a temporary folder, flush it, and publish it with one rename. Returns its mark.

        Args:
            write: writes the content to the path that it receives.
            manifest: name of the file without which the content is not valid. It is copied last on a drive that cannot
                rename folders.

        Raises StorageError when the version already exists, OSError when the disk is full or read-only.
        """
        final, partial = self.folder / version, self.folder / f".partial-{version}-{os.getpid()}"
        self.folder.mkdir(parents=True, exist_ok=True)
        if final.exists() or is_link(final):
            raise StorageError(f"version {version} already exists", where=str(final), do="run the same command again")
        mark = self.use(version)
        try:
            partial.mkdir()
            write(partial / self.folder.name)
            for path in (*partial.rglob("*"), partial):
                (sync_file if path.is_file() else sync_folder)(path)
            publish_folder(partial, final, manifest)
        except BaseException:
            if mark is not None:
                mark.release()
            raise
        finally:
            remove_folder(partial)
        return mark

    def prune(self, keep: int, protected: Callable[[], set[str]] = set) -> None:
        """Delete all but the newest `keep` versions, and leftovers of killed processes; never a version in use.

        Args:
            protected: returns versions that are never deleted. It is called after the marks have been read: a process
                releases its mark only after its version is protected permanently.
        """
        with self._locked():
            used = self._versions_in_use()
            if used is None:
                return
            kept = {*used, *protected(), *self.names()[:keep]}
            for version in self.names():
                if version not in kept:
                    remove_folder(self.folder / version)
            for path in list(self.folder.iterdir()):
                leftover = LEFTOVER.fullmatch(path.name)
                if leftover and leftover[1] not in used:
                    remove_folder(path)

    def _versions_in_use(self) -> set[str] | None:
        """Versions that a live process has marked; None if unknown. Marks of ended processes are deleted."""
        used = set()
        marks = self.folder / ".in-use"
        for path in list(marks.iterdir()) if marks.is_dir() else []:
            mark = MARK.fullmatch(path.name)
            if mark is None:
                continue
            lock = FileLock(path, thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                used.add(mark[1])
            except (OSError, NotImplementedError) as error:
                log.warning("nothing is pruned in %s: its locks cannot be read (%s)", self.folder, error)
                return None
            else:
                _release_lock(lock, os.getpid())
        return used

    @contextmanager
    def _locked(self) -> Iterator[None]:
        busy = StorageError(
            "another process has been deleting old versions for more than a minute",
            where=str(self.folder),
            do="wait until it ends, then run the same command again",
        )
        marks = self.folder / ".in-use"
        if is_link(marks):
            raise link_refused(marks)
        marks.mkdir(exist_ok=True)
        with exclusive(marks / "lock", busy, timeout=PATIENCE):
            yield


def newer_than(newest: str, wanted: str) -> str:
    """A version name later than `newest`: `wanted`, or shortly after `newest` if the clock was set back.

    Raises StorageError when no time stamp can follow `newest`.
    """
    if wanted > newest:
        return wanted
    # Concurrent runs get different names: each adds the milliseconds of its own clock.
    added = timedelta(milliseconds=1 + int(wanted.removesuffix("Z").rpartition(".")[2]))
    try:
        later = datetime.strptime(newest.removesuffix("Z"), STAMP_FORMAT) + added
    except (ValueError, OverflowError) as error:
        raise StorageError(
            f"no version name can follow the newest one, {newest}: {error}",
            where="the folder of that version",
            do="rename or remove that version",
        ) from error
    return f"{later.strftime(STAMP_FORMAT)[:-3]}Z"


def _release_lock(lock: FileLock, pid: int) -> None:
    if os.getpid() != pid:  # a forked child: the mark belongs to its parent
        return
    with suppress(OSError):
        lock.release()
    with suppress(OSError):  # Windows cannot delete an open file, so the lock is released first
        Path(lock.lock_file).unlink(missing_ok=True)
