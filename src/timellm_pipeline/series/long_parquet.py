"""Rows of a long Parquet file or folder, read batch by batch: only ids, time stamps and values, without a DataFrame.

A table of 20 million rows takes 400 MB this way. A file with other types of columns (texts as time stamps, a time zone,
several id columns) is read as a DataFrame, as other tables are.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.formats import is_parquet
from timellm_pipeline.series.long_rows import LongRows
from timellm_pipeline.series.long_table import STANDARD, LongColumns
from timellm_pipeline.series.reading import RawFile

log = logging.getLogger(__name__)

BATCH = 1 << 18  # rows
BYTES_PER_ROW = 20  # index of the series, time stamp, value


def read_long_parquet(file: RawFile, data: DataParams) -> tuple[LongRows, LongColumns] | None:
    """Rows and columns of a long Parquet file or folder whose columns are clear from its schema; None for other files.

    Raises SeriesError for a missing id or time stamp, a corrupt file, and a folder that cannot be read as one table.
    """
    files = file.parts or (file,)
    if data.layout != "wide" and is_parquet(files[0].content):
        opened = [_open(one) for one in files]
        columns = _columns_of(opened[0].schema_arrow, data)
        total = sum(one.metadata.num_rows for one in opened)
        fits = total * BYTES_PER_ROW <= data.max_gigabytes * 1e9
        if columns is not None and total and (fits or file.parts):
            return _read_all(files, opened, columns, total, data)
    if file.parts:
        raise SeriesError(
            f"the {len(file.parts):,} Parquet files of this folder cannot be read as one long table",
            where=file.path,
            do="write the columns unique_id (text or whole numbers), ds (time stamps without a zone) and y (numbers), "
            "or set data.id_columns to one column, data.date_column and data.value_column",
        )
    return None  # the reader of tables reports a file that is empty or too large


def _read_all(
    files: Sequence[RawFile], opened: Sequence[Any], columns: LongColumns, total: int, data: DataParams
) -> tuple[LongRows, LongColumns]:
    """The rows of all files, which must have the same columns."""
    if total * BYTES_PER_ROW > data.max_gigabytes * 1e9:
        raise SeriesError(
            f"{total:,} rows take {total * BYTES_PER_ROW / 1e9:,.1f} GB; at most {data.max_gigabytes:g} GB are read",
            where=str(Path(files[0].path).parent),
            do="use fewer files, or raise data.max_gigabytes if there is enough memory",
        )
    rows = _Rows(total)
    for file, parquet in zip(files, opened):
        if _columns_of(parquet.schema_arrow, data) != columns:
            raise SeriesError(
                f"this file has other columns than {files[0].path}: it needs {', '.join(columns.names)}",
                where=file.path,
                do="write all files of a folder with the same columns and types, or remove this one",
            )
        if not parquet.metadata.num_rows:
            log.warning("%s has no rows", file.path)
        rows.read(parquet, columns, file.path)
    columns.report(opened[0].schema_arrow.names, files[0].path)
    return LongRows(tuple(rows.numbers), rows.series, rows.stamps, rows.values, None), columns


class _Rows:
    """Arrays that are filled batch by batch."""

    def __init__(self, total: int) -> None:
        self.series, self.stamps = np.empty(total, dtype=np.int32), np.empty(total, dtype="datetime64[ns]")
        self.values, self.numbers, self.done = np.empty(total), dict[str, int](), 0

    def read(self, parquet: Any, columns: LongColumns, path: str) -> None:
        """Append the rows of a file."""
        import pyarrow as pa

        begun = self.done
        try:
            for batch in parquet.iter_batches(batch_size=BATCH, columns=list(columns.names)):
                part = slice(self.done, self.done + batch.num_rows)
                for name in (*columns.ids, columns.date):
                    _refuse_missing(batch.column(name), name, self.done - begun, path)
                self.series[part] = _numbers_of(batch.column(columns.ids[0]), self.numbers)
                stamps = batch.column(columns.date).cast(pa.timestamp("ns"))
                self.stamps[part] = stamps.to_numpy(zero_copy_only=False)
                values = batch.column(columns.value).cast(pa.float64())
                self.values[part] = values.to_numpy(zero_copy_only=False)
                self.done = part.stop
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _corrupt(path, error) from error


def _open(file: RawFile) -> Any:
    """The Parquet file. Raises SeriesError if its metadata cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(pa.BufferReader(file.content))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _corrupt(file.path, error) from error


def _corrupt(path: str, error: Exception) -> SeriesError:
    return SeriesError(
        f"this Parquet file is corrupt or cannot be read: {shown(error, 200)}",
        where=path,
        do="write or download it again",
    )


def _columns_of(schema: Any, data: DataParams) -> LongColumns | None:
    """Columns that the standard names or the parameters name, if their types can be read in batches."""
    import pyarrow as pa

    if data.id_columns and data.value_column:
        found = LongColumns(tuple(data.id_columns), data.date_column, data.value_column)
    elif set(STANDARD) <= set(schema.names) and not data.id_columns and data.value_column is None:
        found = LongColumns(STANDARD[:1], *STANDARD[1:])
    else:
        return None
    if len(found.ids) > 1 or len(set(found.names)) < 3 or not set(found.names) <= set(schema.names):
        return None
    kinds = [schema.field(name).type for name in (found.ids[0], found.date, found.value)]
    ids = kinds[0].value_type if pa.types.is_dictionary(kinds[0]) else kinds[0]
    is_id = pa.types.is_string(ids) or pa.types.is_large_string(ids) or pa.types.is_integer(ids)
    is_date = pa.types.is_date(kinds[1]) or (pa.types.is_timestamp(kinds[1]) and kinds[1].tz is None)
    is_number = pa.types.is_floating(kinds[2]) or pa.types.is_integer(kinds[2])
    return found if is_id and is_date and is_number else None


def _numbers_of(column: Any, numbers: dict[str, int]) -> np.ndarray:
    """Index of the series of each row of a batch. New ids get the next numbers."""
    import pyarrow as pa

    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
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
