"""Versioned results that are there whole or not at all.

Each version is written into a folder beside its place, synced, and moved there by one rename; a version found torn
all the same (a drive that lost power, a hand that slipped) is named in the log and the one before is loaded. Only the
newest `keep_versions` stay.
"""

import json
import logging
import os
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

import pandas as pd
from kedro.io import AbstractVersionedDataset, DatasetError, Version
from kedro_datasets._typing import JSONPreview, PlotlyPreview, TablePreview

from timellm_pipeline.files import move, remove_folder, sync_file, sync_folder, write_whole

log = logging.getLogger(__name__)

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class WholeDataset(AbstractVersionedDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """Base of the project's versioned datasets: `<filepath>/<version>/<name>`, published by one rename.

    Args:
        filepath: path whose last part names the file or folder inside each version.
        keep_versions: newest versions that stay; null keeps all.
        version: load and save version, set by Kedro.
        metadata: for kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        keep_versions: int | None = None,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.keep_versions, self.metadata = keep_versions, metadata
        self._torn: set[str] = set()
        self._saved: str | None = None
        super().__init__(
            PurePosixPath(filepath),
            version or Version(None, None),
            exists_function=self._exists_whole,
            glob_function=self._glob_versions,
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
        """What this very process saved is what it goes on with; else the pinned or the newest whole version.

        Kedro would take the newest on disk, which may be another run's that started later and ended first.
        """
        pinned = self._version.load if self._version else None
        return pinned or self._saved or super().resolve_load_version()

    def load(self) -> Loaded:
        """The pinned or the newest whole version."""
        path = Path(self._get_load_path())
        damage = self.find_damage(path) if path.exists() else "it is not there"
        if damage:
            raise DatasetError(f"version {path.parent.name} of {self._filepath.name} cannot be used: {damage}")
        return self.read(path)

    def save(self, data: Saved) -> None:
        """Publish a new version, then remove old ones beyond `keep_versions`."""
        self._saved = None
        final = Path(self._get_save_path()).parent
        partial = final.with_name(f".partial-{final.name}-{os.getpid()}")
        try:
            partial.mkdir(parents=True)
            self.write(data, partial / self._filepath.name)
            for path in (*partial.rglob("*"), partial):
                (sync_file if path.is_file() else sync_folder)(path)
            move(partial, final)
            sync_folder(final.parent)
            self._saved = final.name
        finally:
            remove_folder(partial)
        self._prune()

    def _prune(self) -> None:
        if self.keep_versions is None:
            return
        for old in self._glob_versions("")[self.keep_versions :]:
            if Path(old).parent.name not in self.never_pruned():
                remove_folder(Path(old).parent)

    def never_pruned(self) -> set[str]:
        """Versions that stay, however old."""
        return set()

    def _glob_versions(self, pattern: str) -> list[str]:
        """Paths of all versions, newest first. Kedro's own glob would stumble over brackets in a folder's name."""
        root = Path(self._filepath)
        folders = root.iterdir() if root.is_dir() else ()
        return sorted((str(f / self._filepath.name) for f in folders if not f.name.startswith(".")), reverse=True)

    def _exists_whole(self, path: str) -> bool:
        if not Path(path).exists():
            return False
        damage = self.find_damage(Path(path))
        if damage and path not in self._torn:
            self._torn.add(path)
            log.warning("%s is torn (%s) and passed over", path, damage)
        return damage is None

    def _exists(self) -> bool:
        return bool(self._get_versions())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "keep_versions": self.keep_versions}


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
        if folder.is_dir():
            write_whole(folder / self._filepath.name, _text_of(data).encode())

    def read(self, path: Path) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content

    def write(self, data: dict[str, Any], path: Path) -> None:
        path.write_text(_text_of(data), encoding="utf-8", newline="\n")

    def find_damage(self, path: Path) -> str | None:
        try:
            self.read(path)
        except (OSError, ValueError) as error:
            return f"no whole JSON: {error}"
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
            return f"no whole Parquet: {error}"
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
    """A table as CSV, for spreadsheets and for people: UTF-8 with a mark, so that they read Chinese names rightly."""

    def read(self, path: Path) -> pd.DataFrame:
        return pd.read_csv(path, encoding="utf-8-sig")

    def write(self, data: pd.DataFrame, path: Path) -> None:
        data.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\n")

    def find_damage(self, path: Path) -> str | None:
        return None if path.stat().st_size else "it is empty"

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        return TablePreview(json.loads(self.load().head(nrows).to_json(orient="split")))


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
        except (OSError, ValueError) as error:
            return f"no whole JSON: {error}"
        return None

    def preview(self) -> PlotlyPreview:
        """The figure, for kedro-viz."""
        return PlotlyPreview(json.loads(self.load().to_json()))
