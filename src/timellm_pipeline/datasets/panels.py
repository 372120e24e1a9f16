"""Panels and window indexes in the catalog: Parquet files that load as the types that were saved."""

from pathlib import Path

import pandas as pd

from timellm_pipeline.datasets.atomic import AtomicDataset
from timellm_pipeline.datasets.files import head_of
from timellm_pipeline.datasets.previews import TablePreview
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
