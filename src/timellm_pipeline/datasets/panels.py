"""Panels, window indexes and linear parts in the catalog: files that load as the types that were saved."""

from pathlib import Path

import pandas as pd

from timellm_pipeline.datasets.atomic import AtomicDataset
from timellm_pipeline.datasets.files import head_of
from timellm_pipeline.datasets.previews import JSONPreview, TablePreview
from timellm_pipeline.errors import ModelError
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.panel_file import find_damage, read_index, read_panel, write_index, write_panel
from timellm_pipeline.series.windows import WindowIndex


class PanelDataset(AtomicDataset[Panel, Panel]):
    """A panel as a long Parquet table (`unique_id, ds, y`) with its facts in the schema metadata."""

    def read(self, path: Path) -> Panel:
        return read_panel(path)

    def write(self, data: Panel, path: Path) -> None:
        write_panel(data, path)

    def find_damage(self, path: Path) -> str | None:
        return find_damage(path)

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        return head_of(pd.read_parquet(self.find_path()), nrows)


class LinearPartDataset(AtomicDataset[LinearPart, LinearPart]):
    """The linear part as safetensors, with its facts in the header."""

    def read(self, path: Path) -> LinearPart:
        return LinearPart.from_file(path)

    def write(self, data: LinearPart, path: Path) -> None:
        path.write_bytes(data.as_bytes())

    def find_damage(self, path: Path) -> str | None:
        try:
            self.read(path)
        except ModelError as error:
            return error.what
        return None

    def preview(self) -> JSONPreview:
        """How it was fitted, for kedro-viz."""
        return JSONPreview(self.load().facts.model_dump_json())


class WindowIndexDataset(AtomicDataset[WindowIndex, WindowIndex]):
    """A window index as Parquet, one row per segment, with its facts in the schema metadata."""

    def read(self, path: Path) -> WindowIndex:
        return read_index(path)

    def write(self, data: WindowIndex, path: Path) -> None:
        write_index(data, path)

    def find_damage(self, path: Path) -> str | None:
        return find_damage(path)

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first segments, for kedro-viz."""
        return head_of(pd.read_parquet(self.find_path()), nrows)
