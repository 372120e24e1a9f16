"""Rows of a long Parquet file, read batch by batch: only ids, time stamps and values, without a DataFrame.

A table of 20 million rows takes 400 MB this way. A file with other types of columns (texts as time stamps, a time zone,
several id columns) is read as a DataFrame, as other tables are.
"""

import numpy as np

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.formats import is_parquet
from timellm_pipeline.series.long_rows import LongRows
from timellm_pipeline.series.long_table import STANDARD, LongColumns
from timellm_pipeline.series.reading import RawFile

BATCH = 1 << 18  # rows
BYTES_PER_ROW = 20  # index of the series, time stamp, value


def read_long_parquet(file: RawFile, data: DataParams) -> tuple[LongRows, LongColumns] | None:
    """Rows and columns of a long Parquet file whose columns are clear from its schema; None for any other file.

    Raises SeriesError for a missing id or time stamp, a file that is too large, and a corrupt file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if data.layout == "wide" or not is_parquet(file.content):
        return None
    try:
        parquet = pq.ParquetFile(pa.BufferReader(file.content))
    except (OSError, pa.ArrowException):  # reported when it is read as a table
        return None
    columns = _columns_of(parquet.schema_arrow, data)
    if columns is None:
        return None
    total = parquet.metadata.num_rows
    if total * BYTES_PER_ROW > data.max_gigabytes * 1e9 or not total:
        return None  # the reader of tables reports both
    series, stamps = np.empty(total, dtype=np.int32), np.empty(total, dtype="datetime64[ns]")
    values, numbers, done = np.empty(total), dict[str, int](), 0
    try:
        for batch in parquet.iter_batches(batch_size=BATCH, columns=list(columns.names)):
            part = slice(done, done + batch.num_rows)
            for name in (*columns.ids, columns.date):
                _refuse_missing(batch.column(name), name, done, file.path)
            series[part] = _numbers_of(batch.column(columns.ids[0]), numbers)
            stamps[part] = batch.column(columns.date).cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False)
            values[part] = batch.column(columns.value).cast(pa.float64()).to_numpy(zero_copy_only=False)
            done = part.stop
    except (OSError, pa.ArrowException) as error:
        raise SeriesError(
            f"this Parquet file is corrupt or cannot be read: {shown(error, 200)}",
            where=file.path,
            do="write or download it again",
        ) from error
    columns.report(parquet.schema_arrow.names, file.path)
    return LongRows(tuple(numbers), series, stamps, values, None), columns


def _columns_of(schema: object, data: DataParams) -> LongColumns | None:
    """Columns that the standard names or the parameters name, if their types can be read in batches."""
    import pyarrow as pa

    assert isinstance(schema, pa.Schema)
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


def _numbers_of(column: object, numbers: dict[str, int]) -> np.ndarray:
    """Index of the series of each row of a batch. New ids get the next numbers."""
    import pyarrow as pa

    assert isinstance(column, pa.Array)
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


def _refuse_missing(column: object, name: str, first: int, file: str) -> None:
    import pyarrow as pa

    assert isinstance(column, pa.Array)
    if column.null_count:
        row = first + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise SeriesError(
            f"row {row + 1:,} has no value in the column `{shown(name)}`",
            where=f"{file}, column `{shown(name)}`",
            do="fill it in, or remove such rows",
        )
