"""Long Parquet files and folders, read in parts of complete series, without a DataFrame.

A table that is sorted by series may be larger than memory. Any other table is read in one part. A file with other types
of columns (texts as time stamps, a time zone, several id columns) is read as a DataFrame, as other tables are.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.facts import StaticFacts, differs
from timellm_pipeline.series.known import as_float32
from timellm_pipeline.series.long_rows import LongRows
from timellm_pipeline.series.long_table import STANDARD, LongColumns
from timellm_pipeline.series.reading import RawFile

log = logging.getLogger(__name__)

BATCH = 1 << 18  # rows
PART = 1 << 22  # rows of complete series that become a panel together
BYTES_PER_ROW = 20  # index of the series, time stamp, value


@dataclass(frozen=True)
class LongParquet:
    """Long Parquet files whose columns are clear from their schema.

    Attributes:
        path: path of the file or folder.
        files: the files.
        columns: columns that are used.
        total: number of rows.
    """

    path: str
    files: Sequence[RawFile]
    columns: LongColumns
    total: int

    def parts(self, data: DataParams) -> Iterator[LongRows]:
        """Iterator over the rows, in parts of complete series; in one part if the rows are not grouped by series.

        Raises SeriesError for rows that do not fit into memory in one part, a missing id or time stamp, a static column
        that changes within a series, and a corrupt file.
        """
        grouped = self.total > PART and self._is_grouped()
        if not grouped and self.total > PART:
            self._refuse_too_large(data, self.total)
        reader = _Reader(self.columns)
        for file in self.files:
            for batch in _batches(file, self.columns.names):
                reader.append(batch, file.path)
                if grouped and reader.num_rows >= PART and reader.num_series > 1:
                    yield reader.complete()
                if reader.num_rows > PART:
                    self._refuse_too_large(data, reader.num_rows)
            reader.begin_file()
            file.refuse_changed()
        yield reader.rest()

    def _is_grouped(self) -> bool:
        """Whether the rows of each series follow each other."""
        numbers: dict[str, int] = {}
        last = -1
        for file in self.files:
            for batch in _batches(file, self.columns.ids):
                if batch.column(0).null_count:
                    return True  # the reader reports it
                series = _numbers_of(batch.column(0), numbers)
                runs = series[np.flatnonzero(np.diff(series, prepend=last))]
                if (np.diff(runs, prepend=last) != 1).any():
                    return False
                last = len(numbers) - 1
        return True

    def _refuse_too_large(self, data: DataParams, num_rows: int) -> None:
        """Raise SeriesError if rows that must be in memory together do not fit."""
        size = num_rows * (BYTES_PER_ROW + 4 * len(self.columns.known)) / 1e9
        if size > data.max_gigabytes:
            why = "one series has as many" if num_rows < self.total else "the table is not sorted by series"
            raise SeriesError(
                f"{num_rows:,} rows take {size:,.1f} GB of memory ({why}); the limit is {data.max_gigabytes:g} GB",
                where=self.path,
                do="sort the table by series and time, or raise data.max_gigabytes if there is enough memory",
            )


def open_long_parquet(file: RawFile, data: DataParams) -> LongParquet | None:
    """A long Parquet file or folder whose columns are clear from its schema; None for other files.

    Raises SeriesError for a corrupt file, and a folder that cannot be read as one table.
    """
    files = file.parts or (file,)
    if file.parts or (data.layout != "wide" and file.is_parquet):
        schemas, rows = zip(*map(_schema_and_rows, files))
        columns = _columns_of(schemas[0], data) if data.layout != "wide" else None
        if columns is not None and sum(rows):
            _refuse_other_columns(files, schemas, columns, data)
            for one in (one for one, count in zip(files, rows, strict=True) if not count):
                log.warning("%s has no rows", one.path)
            columns.report(schemas[0].names, files[0].path)
            return LongParquet(file.path, files, columns, sum(rows))
    if file.parts:
        raise SeriesError(
            f"the {len(file.parts):,} Parquet files of this folder cannot be read as one long table; the first has the "
            f"columns {_types(schemas[0])}",
            where=file.path,
            do="write the columns unique_id (text or whole numbers), ds (time stamps without a zone) and y (numbers), "
            "or set data.id_columns to one column, data.date_column and data.value_column",
        )
    return None  # the reader of tables reports a file that is empty


class _Reader:
    """Rows that are read batch by batch, and taken when their series are complete."""

    def __init__(self, columns: LongColumns) -> None:
        self.columns, self.facts = columns, StaticFacts(columns.static)
        self.numbers: dict[str, int] = {}
        self.taken = 0  # series of earlier parts
        self.num_rows = 0  # rows of the part
        self.done = 0  # rows of the file
        self.pieces: list[dict[str, np.ndarray]] = []

    def begin_file(self) -> None:
        """Count the rows of the next file from its start."""
        self.done = 0

    @property
    def num_series(self) -> int:
        """Number of series of the part."""
        return len(self.numbers) - self.taken

    def append(self, batch: Any, path: str) -> None:
        """Append the rows of a batch. Raises SeriesError for values that cannot be converted."""
        import pyarrow as pa

        try:
            self._append(batch, path)
        except pa.ArrowException as error:
            raise _corrupt(path, error) from error

    def _append(self, batch: Any, path: str) -> None:
        import pyarrow as pa

        columns = self.columns
        for name in (*columns.ids, columns.date):
            _refuse_missing(batch.column(name), name, self.done, path)
        series = _numbers_of(batch.column(columns.ids[0]), self.numbers)
        for name in columns.static:
            coded = _encoded(batch.column(name))
            code = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            row = self.facts.add(name, series, code, coded.dictionary.to_pylist())
            if row is not None:
                raise differs(name, list(self.numbers)[int(series[row])], path)
        values = [batch.column(name).cast(pa.float64(), safe=False) for name in (columns.value, *columns.known)]
        floats = [column.to_numpy(zero_copy_only=False) for column in values]
        known = np.zeros((len(series), 0), dtype=np.float32)
        if columns.known:
            known = as_float32(dict(zip(columns.known, floats[1:])))
        stamps = batch.column(columns.date).cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False)
        self.pieces.append({"series": series, "stamps": stamps, "values": floats[0], "known": known})
        self.num_rows += len(series)
        self.done += len(series)

    def complete(self) -> LongRows:
        """The rows of all series but the last, whose rows are kept."""
        rows = self._joined()
        end = int(np.flatnonzero(rows["series"] != rows["series"][-1])[-1]) + 1
        self.pieces = [{name: column[end:].copy() for name, column in rows.items()}]
        self.num_rows -= end
        return self._take({name: column[:end] for name, column in rows.items()})

    def rest(self) -> LongRows:
        """The rows that are left."""
        return self._take(self._joined())

    def _joined(self) -> dict[str, np.ndarray]:
        joined = {name: np.concatenate([piece[name] for piece in self.pieces]) for name in self.pieces[0]}
        self.pieces = []
        return joined

    def _take(self, rows: dict[str, np.ndarray]) -> LongRows:
        first, last = self.taken, int(rows["series"].max()) + 1
        self.taken = last
        ids = list(self.numbers)[first:last]
        rows["series"] = rows["series"] - np.int32(first)
        return LongRows(ids=tuple(ids), zone=None, facts=self.facts.texts()[first:last], **rows)


def _batches(file: RawFile, columns: Sequence[str]) -> Iterator[Any]:
    """Iterator over the batches of some columns of a file."""
    with _opened(file) as parquet:
        yield from parquet.iter_batches(batch_size=BATCH, columns=list(columns))


def _schema_and_rows(file: RawFile) -> tuple[Any, int]:
    with _opened(file) as parquet:
        return parquet.schema_arrow, parquet.metadata.num_rows


@contextmanager
def _opened(file: RawFile) -> Iterator[Any]:
    """The opened Parquet file. Raises SeriesError if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with file.stream() as opened:
            yield pq.ParquetFile(opened, pre_buffer=False)  # buffers would be kept until the end of the file
    except (OSError, ValueError, pa.ArrowException) as error:
        file.refuse_changed()
        raise _corrupt(file.path, error) from error


def _corrupt(path: str, error: Exception) -> SeriesError:
    return SeriesError(
        f"this Parquet file is corrupt or cannot be read: {shown(error, 200)}",
        where=path,
        do="write or download it again",
    )


def _refuse_other_columns(
    files: Sequence[RawFile], schemas: Sequence[Any], columns: LongColumns, data: DataParams
) -> None:
    """Raise SeriesError for a file of a folder that has other columns than the first one."""
    for file, schema in zip(files, schemas, strict=True):
        if _columns_of(schema, data) != columns:
            raise SeriesError(
                f"this file has other columns than {files[0].path}: it needs {', '.join(columns.names)}",
                where=file.path,
                do="write all files of a folder with the same columns and types, or remove this one",
            )


def _columns_of(schema: Any, data: DataParams) -> LongColumns | None:
    """Columns that the standard names or the parameters name, if their types can be read in batches."""
    import pyarrow as pa

    others = tuple(data.static_columns), tuple(data.known_columns)
    if data.id_columns and data.value_column:
        found = LongColumns(tuple(data.id_columns), data.date_column, data.value_column, *others)
    elif set(STANDARD) <= set(schema.names) and not data.id_columns and data.value_column is None:
        found = LongColumns(STANDARD[:1], *STANDARD[1:], *others)
    else:
        return None
    if len(found.ids) > 1 or len({*found.ids, found.date, found.value}) < 3:
        return None
    if not set(found.names) <= set(schema.names):
        return None
    kinds = {name: schema.field(name).type for name in found.names}
    ids = kinds[found.ids[0]]
    ids = ids.value_type if pa.types.is_dictionary(ids) else ids
    is_id = pa.types.is_string(ids) or pa.types.is_large_string(ids) or pa.types.is_integer(ids)
    date = kinds[found.date]
    is_date = pa.types.is_date(date) or (pa.types.is_timestamp(date) and date.tz is None)
    numbers = [kinds[name] for name in (found.value, *found.known)]
    are_numbers = all(map(_is_number, numbers[:1])) and all(
        _is_number(kind) or pa.types.is_boolean(kind) for kind in numbers
    )
    return found if is_id and is_date and are_numbers else None


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _types(schema: Any) -> str:
    return ", ".join(f"{shown(field.name)} ({field.type})" for field in list(schema)[:12])


def _encoded(column: Any) -> Any:
    import pyarrow as pa

    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _numbers_of(column: Any, numbers: dict[str, int]) -> np.ndarray:
    """Index of the series of each row of a batch. New ids get the next numbers."""
    coded = _encoded(column)
    indices = coded.indices.to_numpy(zero_copy_only=False)
    # A dictionary may be shared by the batches: ids are numbered in the order of their first rows.
    seen, first = np.unique(indices, return_index=True)
    ids = [str(coded.dictionary[int(one)].as_py()) for one in seen[np.argsort(first)]]
    for one in ids:
        numbers.setdefault(one, len(numbers))
    of_index = np.zeros(len(coded.dictionary), dtype=np.int32)
    of_index[seen[np.argsort(first)]] = [numbers[one] for one in ids]
    return of_index[indices]


def _refuse_missing(column: Any, name: str, first: int, file: str) -> None:
    if column.null_count:
        row = first + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise SeriesError(
            f"row {row + 1:,} has no value in the column `{shown(name)}`",
            where=f"{file}, column `{shown(name)}`",
            do="fill it in, or remove such rows",
        )
