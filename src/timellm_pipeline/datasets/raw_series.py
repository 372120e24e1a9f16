"""The raw CSV, fetched first where the configuration says from where and the file is not there yet."""

import hashlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from timellm_pipeline.errors import SeriesError

log = logging.getLogger(__name__)


class RawSeriesDataset(AbstractDataset[None, pd.DataFrame]):
    """A CSV with one row a time stamp, read only; `attrs` hold its path and sha256.

    Args:
        filepath: the CSV.
        fetch: `{url, sha256, path}` of a public file, fetched only when it is `path` that is to be read and that is
            not there. A file that somebody names is never replaced by a download.
        metadata: for kedro-viz.
    """

    def __init__(
        self, *, filepath: str, fetch: dict[str, str] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self.path, self.fetch, self.metadata = Path(filepath), fetch, metadata

    def load(self) -> pd.DataFrame:
        """The table as it stands in the file. Raises SeriesError when it cannot be read."""
        if not self.path.exists() and self.fetch is not None and Path(self.fetch["path"]) == self.path:
            self._download(self.fetch)
        if not self.path.is_file():
            raise SeriesError(
                "this is a folder" if self.path.is_dir() else "there is no such file",
                where=str(self.path),
                do="give the path of a CSV: --params raw_csv=PATH",
            )
        content = self.path.read_bytes()
        try:
            with warnings.catch_warnings():
                # With more fields in a row than in the header pandas takes the first column for an index.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(io.BytesIO(content), index_col=False)
        except (ValueError, pd.errors.ParserWarning) as error:  # pandas' parser errors are ValueErrors
            raise SeriesError(
                f"this cannot be read as CSV: {error}",
                where=str(self.path),
                do="give a comma-separated UTF-8 file",
            ) from error
        frame.attrs = {"path": str(self.path), "sha256": hashlib.sha256(content).hexdigest()}
        return frame

    def save(self, data: None) -> None:
        """Refused: the raw series is read only."""
        raise NotImplementedError("the raw series is read only")

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        head = pd.read_csv(self.path, nrows=nrows)
        return TablePreview(json.loads(head.to_json(orient="split")))

    def _download(self, fetch: dict[str, str]) -> None:
        import pooch

        log.info("Fetching %s", fetch["url"])
        try:
            pooch.retrieve(
                fetch["url"],
                known_hash=f"sha256:{fetch['sha256']}",
                fname=self.path.name,
                path=self.path.parent,
            )
        except Exception as error:  # every network library below pooch raises its own
            raise SeriesError(
                f"the file is not there and could not be fetched from {fetch['url']}: {error}",
                where=str(self.path),
                do="fetch it by hand and pass it: --params raw_csv=PATH",
            ) from error

    def _exists(self) -> bool:
        return self.path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.path), "fetch": self.fetch}
