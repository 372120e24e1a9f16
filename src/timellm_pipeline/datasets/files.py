"""Atomic datasets for common file types. kedro-datasets reads and writes each file."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from timellm_pipeline.datasets.atomic import AtomicDataset
from timellm_pipeline.datasets.previews import JSONPreview, PlotlyPreview, TablePreview
from timellm_pipeline.files import is_link, write_atomic

FORMULA = tuple("=+-@\t\r＝＋－＠")  # characters that start a formula in spreadsheets (OWASP, CSV injection)
UTF8 = {"open_args_load": {"encoding": "utf-8"}, "open_args_save": {"encoding": "utf-8", "newline": "\n"}}


def damaged_json(path: Path) -> str | None:
    """Why a JSON file is damaged, or None."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"incomplete JSON: {error}"
    return None


class AtomicJSONDataset(AtomicDataset[dict[str, Any], dict[str, Any]]):
    """A JSON object."""

    def read(self, path: Path) -> dict[str, Any]:
        content: dict[str, Any] = self._file(path).load()
        return content

    def write(self, data: dict[str, Any], path: Path) -> None:
        self._file(path).save(data)

    def find_damage(self, path: Path) -> str | None:
        damage = damaged_json(path)
        if damage is None and not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
            return "it is not a JSON object"
        return damage

    def preview(self) -> JSONPreview:
        """The object as text, for kedro-viz."""
        return JSONPreview(json.dumps(self.load(), ensure_ascii=False))

    def _file(self, path: Path) -> Any:
        from kedro_datasets.json import JSONDataset

        return JSONDataset(filepath=str(path), save_args={"indent": 2, "ensure_ascii": False}, fs_args=UTF8)


class RecordDataset(AtomicDataset[BaseModel, BaseModel]):
    """A pydantic model as JSON, loaded as the class that was saved.

    Args:
        model: import path of the class.
        beside: `{path: …}` of another versioned dataset. A copy is written into its folder of the same version if that
            exists (the run manifest is stored with the model that it describes).
    """

    def __init__(self, *, model: str, beside: dict[str, str] | None = None, **options: Any) -> None:
        self.model, self.beside = model, beside
        super().__init__(**options)

    def save(self, data: BaseModel) -> None:
        """Publish a new version, and write its copy."""
        super().save(data)
        if self.beside is None:
            return
        folder = Path(self.beside["path"]) / str(self.resolve_save_version())
        if folder.is_dir() and not is_link(folder):
            write_atomic(folder / self._filepath.name, _to_json(data).encode())

    def read(self, path: Path) -> BaseModel:
        from kedro.utils import load_obj

        kind: type[BaseModel] = load_obj(self.model)
        return kind.model_validate_json(path.read_bytes())

    def write(self, data: BaseModel, path: Path) -> None:
        path.write_text(_to_json(data), encoding="utf-8", newline="\n")

    def find_damage(self, path: Path) -> str | None:
        try:
            self.read(path)
        except (OSError, ValueError, RecursionError) as error:
            return f"not a {self.model.rpartition('.')[2]}: {str(error).splitlines()[0]}"
        return None

    def preview(self) -> JSONPreview:
        """The record as text, for kedro-viz."""
        return JSONPreview(json.dumps(self.load().model_dump(mode="json"), ensure_ascii=False))


class AtomicParquetDataset(AtomicDataset[pd.DataFrame, pd.DataFrame]):
    """A table as Parquet."""

    def read(self, path: Path) -> pd.DataFrame:
        table: pd.DataFrame = self._file(path).load()
        return table

    def write(self, data: pd.DataFrame, path: Path) -> None:
        self._file(path).save(data)

    def find_damage(self, path: Path) -> str | None:
        return damaged_parquet(path)

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        return head_of(self.load(), nrows)

    def _file(self, path: Path) -> Any:
        from kedro_datasets.pandas import ParquetDataset

        return ParquetDataset(filepath=str(path), save_args={"index": False})


class TablePartsDataset(AtomicParquetDataset):
    """A table as Parquet, written part by part."""

    def write(self, data: Iterable[pd.DataFrame], path: Path) -> None:  # type: ignore[override] # parts, not a table
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = (pa.Table.from_pandas(part, preserve_index=False) for part in data)
        first = next(tables)
        with pq.ParquetWriter(path, first.schema) as writer:
            for table in itertools.chain([first], tables):
                writer.write_table(table)


class AtomicCSVDataset(AtomicDataset[pd.DataFrame, pd.DataFrame]):
    """A table as CSV for spreadsheets: UTF-8 with a byte order mark, so that Chinese names are read correctly.

    Text that a spreadsheet would evaluate as a formula gets a leading apostrophe.
    """

    def read(self, path: Path) -> pd.DataFrame:
        table: pd.DataFrame = self._file(path).load()
        return table

    def write(self, data: pd.DataFrame, path: Path) -> None:
        safe = data.rename(columns=without_formula)
        for position, kind in enumerate(safe.dtypes):
            if not pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_datetime64_any_dtype(kind):
                safe.isetitem(position, safe.iloc[:, position].map(without_formula).array)
        self._file(path).save(safe)

    def find_damage(self, path: Path) -> str | None:
        return None if path.stat().st_size else "it is empty"

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for kedro-viz."""
        return head_of(self.load(), nrows)

    def _file(self, path: Path) -> Any:
        from kedro_datasets.pandas import CSVDataset

        return CSVDataset(
            filepath=str(path),
            load_args={"encoding": "utf-8-sig"},
            save_args={"index": False, "encoding": "utf-8-sig", "lineterminator": "\n"},
            fs_args={"open_args_save": {"mode": "wb"}},  # opened as text, the file would get no byte order mark
        )


class AtomicTextDataset(AtomicDataset[str, str]):
    """A text file in UTF-8."""

    def read(self, path: Path) -> str:
        text: str = self._file(path).load()
        return text

    def write(self, data: str, path: Path) -> None:
        self._file(path).save(data)

    def find_damage(self, path: Path) -> str | None:
        return None if path.stat().st_size else "it is empty"

    def preview(self) -> JSONPreview:
        """The text, for kedro-viz."""
        return JSONPreview(json.dumps(self.load().splitlines(), ensure_ascii=False))

    def _file(self, path: Path) -> Any:
        from kedro_datasets.text import TextDataset

        return TextDataset(filepath=str(path), fs_args=UTF8)


class AtomicPlotDataset(AtomicDataset[Any, Any]):
    """A plotly figure as JSON, which kedro-viz draws."""

    def read(self, path: Path) -> Any:
        return self._file(path).load()

    def write(self, data: Any, path: Path) -> None:
        self._file(path).save(data)

    def find_damage(self, path: Path) -> str | None:
        return damaged_json(path)

    def preview(self) -> PlotlyPreview:
        """The figure, for kedro-viz."""
        return PlotlyPreview(json.loads(self.load().to_json()))

    def _file(self, path: Path) -> Any:
        from kedro_datasets.plotly import JSONDataset

        return JSONDataset(filepath=str(path), fs_args=UTF8)


def damaged_parquet(path: Path) -> str | None:
    """Why a Parquet file is damaged, or None."""
    import pyarrow.parquet

    try:
        pyarrow.parquet.read_metadata(path)
    except (OSError, ValueError) as error:
        return f"incomplete Parquet: {error}"
    return None


def head_of(table: pd.DataFrame, nrows: int) -> TablePreview:
    """The first rows, for kedro-viz."""
    return TablePreview(json.loads(table.head(nrows).to_json(orient="split", date_format="iso")))


def without_formula(value: Any) -> Any:
    """Text that no spreadsheet evaluates as a formula; other values unchanged."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _to_json(data: BaseModel) -> str:
    return json.dumps(data.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
