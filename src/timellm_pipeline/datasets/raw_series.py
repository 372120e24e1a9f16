"""The raw file, downloaded first if it does not exist and the configuration contains its URL."""

import errno
import json
import logging
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset

from timellm_pipeline.datasets.previews import TablePreview
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.formats import PARQUET
from timellm_pipeline.series.reading import RawFile, read_table, stat_of

log = logging.getLogger(__name__)

LARGE = 64_000_000  # bytes of a Parquet file that is read in parts
GIVE = "give the path of a CSV or Parquet file: --params {}=PATH"
KINDS = (
    (stat.S_ISDIR, "this is a folder", GIVE),
    (stat.S_ISFIFO, "this is a pipe (FIFO), not a regular file", "write its content to a file first"),
)


class RawSeriesDataset(AbstractDataset[None, RawFile]):
    """A read-only file with one row per time stamp, loaded as unchanged bytes. `data` sets how they are parsed.

    Args:
        filepath: the CSV or Parquet file, a folder of long Parquet files, or a pattern such as `sales/*.parquet`.
        fetch: `{url, sha256, path}` of a public file, downloaded only when the file to read is `path` and does not
            exist. A download never replaces another file.
        folder: folder for values that do not fit into memory.
        parameter: parameter that sets the path, for messages.
        metadata: for kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        fetch: dict[str, str] | None = None,
        folder: str | None = None,
        parameter: str = "raw_csv",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.path, self.fetch, self.metadata = Path(filepath), fetch, metadata
        self.folder, self.parameter = Path(folder) if folder else None, parameter

    def load(self) -> RawFile:
        """The file or folder. Raises SeriesError if it does not exist, cannot be read, or changes during reading."""
        parts = find_parts(self.path)
        if parts:
            return RawFile(str(self.path), b"", tuple(map(_read, parts)), folder=self.folder)
        problem = _find_problem(self.path)
        is_public_file = self.fetch is not None and Path(self.fetch["path"]) == self.path
        if self.fetch is not None and is_public_file and problem == ("there is no such file", GIVE):
            self._download(self.fetch)
            problem = _find_problem(self.path)
        if problem is not None:
            what, do = problem
            raise SeriesError(what, where=str(self.path), do=do.format(self.parameter))
        return replace(_read(self.path), folder=self.folder)

    def save(self, data: None) -> None:
        """Not supported: the raw series is read only."""
        raise NotImplementedError("the raw series is read only")

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        file = self.load()
        head: pd.DataFrame = read_table(file.parts[0] if file.parts else file, DataParams()).head(nrows)
        return TablePreview(json.loads(head.to_json(orient="split", date_format="iso")))

    def _download(self, fetch: dict[str, str]) -> None:
        import pooch

        log.info("downloading %s", fetch["url"])
        try:
            pooch.retrieve(
                fetch["url"],
                known_hash=f"sha256:{fetch['sha256']}",
                fname=self.path.name,
                path=self.path.parent,
            )
        except Exception as error:  # each network library that pooch uses raises its own
            raise SeriesError(
                f"the file does not exist and could not be downloaded from {fetch['url']}: {error}",
                where=str(self.path),
                do=f"download it manually and set its path: --params {self.parameter}=PATH",
            ) from error

    def _exists(self) -> bool:
        return bool(find_parts(self.path)) or _find_problem(self.path) is None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.path), "fetch": self.fetch}


class OptionalFileDataset(AbstractDataset[None, RawFile | None]):
    """A file as `RawSeriesDataset` reads it; None if `filepath` is null."""

    def __init__(self, *, filepath: str | None, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata
        self.file = None if filepath is None else RawSeriesDataset(filepath=filepath, parameter="known_csv")

    def load(self) -> RawFile | None:
        """The file, or None."""
        return None if self.file is None else self.file.load()

    def save(self, data: None) -> None:
        """Not supported: the file is read only."""
        raise NotImplementedError("this file is read only")

    def _exists(self) -> bool:
        return self.file is None or self.file.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self.file and str(self.file.path)}


def find_parts(path: Path) -> list[Path]:
    """The Parquet files of a folder, or those that a pattern such as `sales/*.parquet` selects, sorted by name.

    The list is empty for any other path. Names that start with `_` or `.` belong to the program that wrote the folder.
    """
    try:
        folder, pattern = (path, "*.parquet") if path.is_dir() else (path.parent, path.name)
        if not path.is_dir() and ("*" not in pattern or path.exists()):
            return []
        found = [one for one in folder.glob(pattern) if one.is_file() and one.name[0] not in "_."]
    except (OSError, ValueError):  # reported by `_find_problem`
        return []
    return sorted(found)


def _read(path: Path) -> RawFile:
    """A file. Raises SeriesError when it cannot be read or changes during reading."""
    try:
        before = stat_of(path)
        with path.open("rb") as file:
            if before[0] > LARGE and file.read(len(PARQUET)) == PARQUET:
                return RawFile(str(path), b"", stat=before)
        content = path.read_bytes()
        after = stat_of(path)
    except OSError as error:
        raise SeriesError(
            f"the file cannot be read: {error.strerror or error}",
            where=str(path),
            do="check the permissions of the file, and that its drive is mounted",
        ) from error
    except MemoryError as error:
        raise SeriesError(
            f"the file does not fit into memory ({before[0] / 1e9:,.1f} GB)",
            where=str(path),
            do="use fewer rows or channels, or a machine with more memory",
        ) from error
    if before != after or len(content) != after[0]:
        raise SeriesError(
            "the file changed while it was read",
            where=str(path),
            do="run again when no program writes to it",
        )
    return RawFile(str(path), content)


def _find_problem(path: Path) -> tuple[str, str] | None:
    """Why a path is not a file that can be read, and what to do; None for a regular file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        target = _link_target(path)
        return f"this is a link to {target}, which does not exist" if target else "there is no such file", GIVE
    except (OSError, ValueError) as error:  # a path too long, a zero byte, a folder that cannot be read
        if getattr(error, "errno", None) == errno.ELOOP:
            return f"this is a link to {_link_target(path) or path}, and the symbolic links form a loop", GIVE
        return f"the path cannot be used: {getattr(error, 'strerror', None) or error}", GIVE
    if stat.S_ISREG(mode):
        return None
    for is_kind, what, do in KINDS:
        if is_kind(mode):
            return what, do
    return "this is a device or a socket, not a regular file", GIVE


def _link_target(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:  # not a link, or only a parent folder is one
        return None
