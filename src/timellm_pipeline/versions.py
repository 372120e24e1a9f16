"""The versions of one result: published by one rename, marked while they are in use, deleted when they are old.

    <folder>/<version>/<name>                 a version; <name> is the folder's own name
    <folder>/.in-use/<version>-<pid>-<hex>    a lock file, held by a process that reads or wrote this version
    <folder>/.partial-<version>-<pid>         a version that is being written

A process that dies drops its locks, so a mark without a holder means nothing, and a partial folder whose version nobody
holds can be deleted. Names are time stamps, as Kedro gives them. Whatever else lies in the folder is not ours.
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
from timellm_pipeline.files import exclusive, is_link, link_refused, move, remove_folder, sync_file, sync_folder

log = logging.getLogger(__name__)

STAMP = r"\d{4}-\d{2}-\d{2}T\d{2}\.\d{2}\.\d{2}\.\d{3}Z"
VERSION = re.compile(STAMP)
MARK = re.compile(rf"({STAMP})-\d+-[0-9a-f]+")
LEFTOVER = re.compile(rf"\.(?:partial|gone)-({STAMP})-\d+")
STAMP_FORMAT = "%Y-%m-%dT%H.%M.%S.%f"
PATIENCE = 60.0  # seconds that a process waits while another one prunes


class Mark:
    """Keeps one version from being deleted until `release`, or until the process ends."""

    def __init__(self, lock: FileLock) -> None:
        self.release = weakref.finalize(self, _drop, lock, os.getpid())


@dataclass(frozen=True)
class Versions:
    """The versions of one result.

    Attributes:
        folder: of the result, such as `data/06_models/timellm_model`.
    """

    folder: Path

    def names(self) -> list[str]:
        """Every version, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((path.name for path in self.folder.iterdir() if VERSION.fullmatch(path.name)), reverse=True)

    def newest(self) -> str:
        """The newest version, or an empty string."""
        return next(iter(self.names()), "")

    def place(self, version: str) -> Path:
        """Where the content of a version is."""
        return self.folder / version / self.folder.name

    def use(self, version: str) -> Mark | None:
        """Mark a version as in use. None where nothing can be written or locked: nothing is deleted there either."""
        lock = FileLock(self.folder / ".in-use" / f"{version}-{os.getpid()}-{secrets.token_hex(4)}", thread_local=False)
        try:
            with self._alone():
                lock.acquire(timeout=0)
        except (OSError, NotImplementedError, StorageError) as error:
            log.debug("%s cannot be marked as in use: %s", self.folder / version, error)
            return None
        return Mark(lock)

    def publish(self, version: str, write: Callable[[Path], None]) -> Mark | None:
        """Write a version beside its place, flush it, and rename it into place. Returns its mark.

        Args:
            write: writes the content to the path it is given.

        Raises StorageError when there is such a version, OSError when the disk is full or read-only.
        """
        final, partial = self.folder / version, self.folder / f".partial-{version}-{os.getpid()}"
        self.folder.mkdir(parents=True, exist_ok=True)
        if final.exists() or is_link(final):
            raise StorageError(
                f"there is a version {version} already", where=str(final), do="run the same command again"
            )
        mark = self.use(version)
        try:
            partial.mkdir()
            write(partial / self.folder.name)
            for path in (*partial.rglob("*"), partial):
                (sync_file if path.is_file() else sync_folder)(path)
            move(partial, final)
            sync_folder(self.folder)
        except BaseException:
            if mark is not None:
                mark.release()
            raise
        finally:
            remove_folder(partial)
        return mark

    def prune(self, keep: int, protected: Callable[[], set[str]] = set) -> None:
        """Delete all but the newest `keep` versions, and what killed processes left; never what is in use.

        Args:
            protected: versions that stay in any case. It is asked after the marks have been read: a process drops its
                mark only once its version is protected for good.
        """
        with self._alone():
            used = self._used()
            if used is None:
                return
            stays = {*used, *protected(), *self.names()[:keep]}
            for version in self.names():
                if version not in stays:
                    remove_folder(self.folder / version)
            for path in list(self.folder.iterdir()):
                leftover = LEFTOVER.fullmatch(path.name)
                if leftover and leftover[1] not in used:
                    remove_folder(path)

    def _used(self) -> set[str] | None:
        """Versions that a live process has marked; None when this cannot be known. Marks of dead ones are deleted."""
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
                _drop(lock, os.getpid())
        return used

    @contextmanager
    def _alone(self) -> Iterator[None]:
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
    """A version name after `newest`: the wanted one, or where the clock was set back, one shortly after `newest`."""
    if wanted > newest:
        return wanted
    # Two runs at the same time get different names: each adds the milliseconds of its own clock.
    added = timedelta(milliseconds=1 + int(wanted.removesuffix("Z").rpartition(".")[2]))
    try:
        later = datetime.strptime(newest.removesuffix("Z"), STAMP_FORMAT) + added
    except (ValueError, OverflowError) as error:
        raise StorageError(
            f"no version can be named after the newest one, {newest}: {error}",
            where="the folder of that version",
            do="rename or remove that version",
        ) from error
    return f"{later.strftime(STAMP_FORMAT)[:-3]}Z"


def _drop(lock: FileLock, pid: int) -> None:
    if os.getpid() != pid:  # a forked child: the mark is its parent's
        return
    with suppress(OSError):
        lock.release()
    with suppress(OSError):  # Windows deletes no open file, so it is released first
        Path(lock.lock_file).unlink(missing_ok=True)
