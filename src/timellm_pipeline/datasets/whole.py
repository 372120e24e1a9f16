"""Versioned results that are complete or not there at all.

Each version is written into a folder beside its place, flushed, and moved there by one rename. A version found damaged
all the same (a drive that lost power, a file edited by hand) is named in the log and the one before is loaded. Only the
newest `keep_versions` stay, besides those that a running process uses (versions.py).
"""

import json
import logging
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

import pandas as pd
from kedro.io import AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError
from kedro_datasets._typing import JSONPreview, PlotlyPreview, TablePreview

from timellm_pipeline.errors import ParameterError, StorageError
from timellm_pipeline.files import is_link, write_atomic
from timellm_pipeline.versions import Mark, Versions

log = logging.getLogger(__name__)

FORMULA = tuple("=+-@\t\r＝＋－＠")  # what spreadsheets take for the start of a formula (OWASP, CSV injection)

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class WholeDataset(AbstractVersionedDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """Base of the project's versioned datasets: `<filepath>/<version>/<name>`, published by one rename.

    Args:
        filepath: path whose last part names the file or folder inside each version.
        keep_versions: newest versions that stay, 1 or more; null keeps all.
        version: load and save version, set by Kedro.
        metadata: for kedro-viz.
    """

    how_to_make = "run the pipeline that makes it first (kedro registry list names them)"

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
        """What lies at `path`."""
        raise NotImplementedError

    def write(self, data: Saved, path: Path) -> None:
        """Put data at `path`, which does not exist yet."""
        raise NotImplementedError

    def find_damage(self, path: Path) -> str | None:
        """What is wrong with the file or folder at `path`, or None."""
        raise NotImplementedError

    def resolve_load_version(self) -> str | None:
        """The version that this process saved; else the pinned or the newest undamaged one.

        Kedro would take the newest on disk, which may be another run's that started later and ended first.
        """
        pinned = self._version.load if self._version else None
        return pinned or self._saved or super().resolve_load_version()

    def load(self) -> Loaded:
        """The pinned or the newest undamaged version. It stays on disk until it is released.

        Raises StorageError when it is missing or damaged.
        """
        version = str(self.resolve_load_version())
        self._keep(version)
        if not (self.versions.folder / version).exists() and not (self._version.load or self._saved):
            self._clear_version_cache()  # deleted between the look and the mark
            version = str(self.resolve_load_version())
            self._keep(version)
        path = Path(self._get_versioned_path(version))
        damage = self.find_damage(path) if path.exists() else "it is not there"
        if damage:
            names = ", ".join(self.versions.names()[:3]) or "none"
            raise StorageError(
                f"version {version} of {self._filepath.name} cannot be used: {damage}",
                where=str(self._filepath),
                do=f"use another version (the newest here: {names}), or make it again",
            )
        return self.read(path)

    def save(self, data: Saved) -> None:
        """Publish a new version, then delete old ones beyond `keep_versions`."""
        self._saved = None
        version = str(self.resolve_save_version())
        mark = self.versions.publish(version, lambda path: self.write(data, path))
        if mark is not None:
            self._marks[version] = mark
        self._saved = version
        if self.keep_versions is None:
            return
        try:
            self.versions.prune(self.keep_versions, self.never_pruned)
        except (OSError, StorageError) as error:  # the result is complete; what is old can stay
            log.warning("old versions of %s are kept: %s", self._filepath.name, error)

    def never_pruned(self) -> set[str]:
        """Versions that stay, however old."""
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

    def _keep(self, version: str) -> None:
        if version not in self._marks:
            mark = self.versions.use(version)
            if mark is not None:
                self._marks[version] = mark

    def _release(self) -> None:
        """Kedro calls this when no node needs the data any more."""
        super()._release()
        for mark in self._marks.values():
            mark.release()
        self._marks = {}

    def _list_versions(self, pattern: str) -> list[str]:
        """Paths of all versions, newest first. Kedro's own glob would stumble over brackets in a folder's name."""
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
    """The number of versions to keep. Raises ParameterError for what would delete a result that was just saved."""
    if keep_versions is None or (type(keep_versions) is int and keep_versions >= 1):
        return keep_versions
    raise ParameterError(
        f"keep_versions is {keep_versions!r}: 1 or more versions are kept, or all of them (null)",
        where="keep_versions in globals.yml",
        do="set keep_versions to 1 or more, or to null",
    )


class WholeJSONDataset(WholeDataset[dict[str, Any], dict[str, Any]]):
    """A JSON object.

    Args:
        beside: `{path: …}` of another versioned data set; a copy goes into its folder of the same version, if there is
            one (the run manifest lies beside the model it speaks of).
    """

    def __init__(self, *, beside: dict[str, str] | None = None, **options: Any) -> None:
        self.beside = beside
        super().__init__(**options)

    def save(self, data: dict[str, Any]) -> None:
        """Publish a new version, and its copy."""
        super().save(data)
        if self.beside is None:
            return
        folder = Path(self.beside["path"]) / str(self.resolve_save_version())
        if folder.is_dir() and not is_link(folder):
            write_atomic(folder / self._filepath.name, _text_of(data).encode())

    def read(self, path: Path) -> dict[str, Any]:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} is not an object")
        return content

    def write(self, data: dict[str, Any], path: Path) -> None:
        path.write_text(_text_of(data), encoding="utf-8", newline="\n")

    def find_damage(self, path: Path) -> str | None:
        try:
            self.read(path)
        except (OSError, ValueError, RecursionError) as error:
            return f"incomplete JSON: {error}"
        return None

    def preview(self) -> JSONPreview:
        """The object as text, for kedro-viz."""
        return JSONPreview(json.dumps(self.load(), ensure_ascii=False))


def _text_of(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


class WholeParquetDataset(WholeDataset[pd.DataFrame, pd.DataFrame]):
    """A table as Parquet; `attrs` travel with it."""

    def read(self, path: Path) -> pd.DataFrame:
        return pd.read_parquet(path)

    def write(self, data: pd.DataFrame, path: Path) -> None:
        data.to_parquet(path, index=False)

    def find_damage(self, path: Path) -> str | None:
        import pyarrow.parquet

        try:
            pyarrow.parquet.read_metadata(path)
        except (OSError, ValueError) as error:
            return f"incomplete Parquet: {error}"
        return None

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        head = self.load().head(nrows)
        return TablePreview(json.loads(head.to_json(orient="split", date_format="iso")))


class WholeTextDataset(WholeDataset[str, str]):
    """A page of text."""

    def read(self, path: Path) -> str:
        return path.read_text(encoding="utf-8")

    def write(self, data: str, path: Path) -> None:
        path.write_text(data, encoding="utf-8", newline="\n")

    def find_damage(self, path: Path) -> str | None:
        return None if path.stat().st_size else "it is empty"

    def preview(self) -> JSONPreview:
        """The text, for kedro-viz."""
        return JSONPreview(json.dumps(self.load().splitlines(), ensure_ascii=False))


class WholeCSVDataset(WholeDataset[pd.DataFrame, pd.DataFrame]):
    """A table as CSV, for spreadsheets and for people: UTF-8 with a mark, so that they read Chinese names correctly.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """

    def read(self, path: Path) -> pd.DataFrame:
        return pd.read_csv(path, encoding="utf-8-sig")

    def write(self, data: pd.DataFrame, path: Path) -> None:
        safe = data.rename(columns=without_formula)
        for position, kind in enumerate(safe.dtypes):
            if not pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_datetime64_any_dtype(kind):
                safe.isetitem(position, safe.iloc[:, position].map(without_formula).array)
        safe.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\n")

    def find_damage(self, path: Path) -> str | None:
        return None if path.stat().st_size else "it is empty"

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        return TablePreview(json.loads(self.load().head(nrows).to_json(orient="split")))


def without_formula(value: Any) -> Any:
    """Text that no spreadsheet evaluates; other values as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


class WholePlotDataset(WholeDataset[Any, Any]):
    """A plotly figure as JSON, which kedro-viz draws."""

    def read(self, path: Path) -> Any:
        import plotly.io

        return plotly.io.from_json(path.read_text(encoding="utf-8"))

    def write(self, data: Any, path: Path) -> None:
        import plotly.io

        path.write_text(plotly.io.to_json(data), encoding="utf-8", newline="\n")

    def find_damage(self, path: Path) -> str | None:
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            return f"incomplete JSON: {error}"
        return None

    def preview(self) -> PlotlyPreview:
        """The figure, for kedro-viz."""
        return PlotlyPreview(json.loads(self.load().to_json()))
