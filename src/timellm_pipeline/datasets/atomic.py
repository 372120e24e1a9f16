"""Versioned results, written atomically.

Each version is written to a temporary folder, flushed, and published with one rename. A version that is damaged later
(a drive that lost power, a file edited by hand) is logged and skipped, and the previous one is loaded. Only the newest
`keep_versions` are kept, and those that a running process uses (versions.py).
"""

import logging
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from kedro.io import AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError

from timellm_pipeline.errors import ParameterError, StorageError
from timellm_pipeline.versions import Mark, Versions

log = logging.getLogger(__name__)

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class AtomicDataset(AbstractVersionedDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """Base class of the project's versioned datasets: `<filepath>/<version>/<name>`, published with one rename.

    Args:
        filepath: path whose last part names the file or folder inside each version.
        keep_versions: number of newest versions that are kept, 1 or more; null keeps all.
        version: load and save version, set by Kedro.
        metadata: for kedro-viz.
    """

    how_to_make = "run the pipeline that creates it first (kedro registry list shows the names)"
    manifest = ""  # name of the file that makes a folder valid, written last

    def __init__(
        self,
        *,
        filepath: str,
        keep_versions: int | None = None,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.keep_versions, self.metadata = checked_keep_versions(keep_versions), metadata
        self.versions = Versions(Path(filepath))
        self._damaged: set[str] = set()
        self._saved: str | None = None
        self._marks: dict[str, Mark] = {}
        super().__init__(
            PurePosixPath(filepath),
            version or Version(None, None),
            exists_function=self._exists_undamaged,
            glob_function=self._list_versions,
        )

    def read(self, path: Path) -> Loaded:
        """Load the content at `path`."""
        raise NotImplementedError

    def write(self, data: Saved, path: Path) -> None:
        """Write data to `path`, which does not exist yet."""
        raise NotImplementedError

    def find_damage(self, path: Path) -> str | None:
        """Why the file or folder at `path` is damaged, or None."""
        raise NotImplementedError

    def resolve_load_version(self) -> str | None:
        """The pinned version, else the one that this process saved, else the newest undamaged one.

        Kedro would use the newest on disk, which may belong to another run that started later and ended first.
        """
        pinned = self._version.load if self._version else None
        return pinned or self._saved or super().resolve_load_version()

    def load(self) -> Loaded:
        """Load the version of `resolve_load_version`. It is not deleted until Kedro releases the dataset.

        Raises StorageError when it is missing or damaged.
        """
        return self.read(self.find_path())

    def find_path(self) -> Path:
        """Path of the version that `load` reads, which is marked as in use. Raises StorageError as `load` does."""
        version = str(self.resolve_load_version())
        self._mark_in_use(version)
        if not (self.versions.folder / version).exists() and not (self._version.load or self._saved):
            self._clear_version_cache()  # deleted before it was marked
            version = str(self.resolve_load_version())
            self._mark_in_use(version)
        path = Path(self._get_versioned_path(version))
        damage = self.find_damage(path) if path.exists() else "it does not exist"
        if damage:
            names = ", ".join(self.versions.names()[:3]) or "none"
            raise StorageError(
                f"version {version} of {self._filepath.name} cannot be used: {damage}",
                where=str(self._filepath),
                do=f"use another version (the newest here: {names}), or create it again",
            )
        return path

    def save(self, data: Saved) -> None:
        """Publish a new version, then delete older versions beyond `keep_versions`."""
        self._saved = None
        version = str(self.resolve_save_version())
        mark = self.versions.publish(version, lambda path: self.write(data, path), self.manifest)
        if mark is not None:
            self._marks[version] = mark
        self._saved = version
        if self.keep_versions is None:
            return
        try:
            self.versions.prune(self.keep_versions, self.never_pruned)
        except (OSError, StorageError) as error:  # the result is complete; old versions may remain
            log.warning("old versions of %s are kept: %s", self._filepath.name, error)

    def never_pruned(self) -> set[str]:
        """Versions that are kept in addition to the newest."""
        return set()

    def _fetch_latest_load_version(self) -> str:
        try:
            return str(super()._fetch_latest_load_version())
        except VersionNotFoundError as error:
            raise StorageError(
                f"there is no complete version of {self._filepath.name}",
                where=str(self._filepath),
                do=self.how_to_make,
            ) from error

    def _mark_in_use(self, version: str) -> None:
        if version not in self._marks:
            mark = self.versions.use(version)
            if mark is not None:
                self._marks[version] = mark

    def _release(self) -> None:
        """Release the marks. Kedro calls this when no node needs the data any more."""
        super()._release()
        for mark in self._marks.values():
            mark.release()
        self._marks = {}

    def _list_versions(self, pattern: str) -> list[str]:
        """Paths of all versions, newest first. Kedro's own glob fails for brackets in a folder's name."""
        return [str(self.versions.place(version)) for version in self.versions.names()]

    def _exists_undamaged(self, path: str) -> bool:
        if not Path(path).exists():
            return False
        damage = self.find_damage(Path(path))
        if damage and path not in self._damaged:
            self._damaged.add(path)
            log.warning("%s is damaged (%s) and skipped", path, damage)
        return damage is None

    def _exists(self) -> bool:
        return bool(self._get_versions())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "keep_versions": self.keep_versions}


def checked_keep_versions(keep_versions: Any) -> int | None:
    """The number of versions to keep. Raises ParameterError for values that would delete a result just saved."""
    if keep_versions is None or (type(keep_versions) is int and keep_versions >= 1):
        return keep_versions
    raise ParameterError(
        f"keep_versions is {keep_versions!r}; it must be 1 or more, or null to keep all versions",
        where="keep_versions in globals.yml",
        do="set keep_versions to 1 or more, or to null",
    )
