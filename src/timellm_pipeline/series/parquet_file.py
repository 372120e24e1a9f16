"""Read a table from a Parquet file. The metadata is checked first: a file of 3 MB can contain 400 million rows."""

import io
from typing import Any

import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.series.names import text_names

BYTES_PER_VALUE = 8


def read_parquet(content: bytes, path: str, date_column: str, max_gigabytes: float, most_columns: int) -> pd.DataFrame:
    """The table in a Parquet file; a DatetimeIndex becomes a column with the name of the index, or `date`.

    Args:
        content: bytes of the file.
        path: path of the file, for messages.
        date_column: name of the column with time stamps (`data.date_column`).
        max_gigabytes: largest size of the table in memory.
        most_columns: largest number of channels.

    Raises SeriesError for a corrupt file, a table that exceeds `max_gigabytes` or `most_columns`, nested columns, and
    an index that cannot be converted to a date column.
    """
    try:
        _check_size(content, path, max_gigabytes, most_columns)
        table = pd.read_parquet(io.BytesIO(content))
    except (SeriesError, MemoryError):
        raise
    except Exception as error:  # pyarrow and pandas raise many exception types for corrupt metadata
        raise SeriesError(
            f"this Parquet file is corrupt or cannot be read: {shown(error, 200)}",
            where=path,
            do="write or download it again",
        ) from error
    if not len(table.columns):
        raise SeriesError(
            "this Parquet file has no columns", where=path, do="write time stamps and channels as columns"
        )
    table.columns = text_names(table.columns, path)
    index = table.index
    if isinstance(index, pd.MultiIndex) and date_column not in table.columns:
        levels = ", ".join(f"`{shown(name)}`" for name in index.names)
        raise SeriesError(
            f"the rows have an index of {index.nlevels} levels ({levels}), and no column is `{shown(date_column)}`",
            where=path,
            do="write one row per time stamp: call DataFrame.unstack or reset_index before to_parquet",
        )
    if isinstance(index, pd.DatetimeIndex):
        name = "date" if index.name is None else str(index.name)
        if name in table.columns:
            raise SeriesError(
                f"there are time stamps in the index and also a column `{shown(name)}`, the name of the index",
                where=path,
                do="remove or rename one of them: DataFrame.reset_index(drop=True) removes the index",
            )
        table.index = index.rename(name)
        table = table.reset_index()
    return table


def _check_size(content: bytes, path: str, max_gigabytes: float, most_columns: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(io.BytesIO(content))
    if metadata.num_columns > most_columns + 1:  # one column may be the index
        raise SeriesError(
            f"{metadata.num_columns:,} columns; at most {most_columns:,} can be used",
            where=path,
            do="write one row per time stamp and one column per channel; or split it into several files",
        )
    columns = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    width = sum(max(BYTES_PER_VALUE, column.length or 0) for column in columns)
    stored = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    _refuse_too_large(max(metadata.num_rows * width, stored), path, max_gigabytes)
    schema = pq.read_schema(io.BytesIO(content))
    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    if nested:
        raise SeriesError(
            f"column `{shown(nested[0])}` has nested values (`{shown(schema.field(nested[0]).type)}`), not numbers; "
            f"there are {len(nested)} such columns",
            where=f"{path}, column `{shown(nested[0])}`",
            do="write one column per channel with one number per row, or remove the column",
        )
    _check_text_size(content, schema, path, max_gigabytes)


def _check_text_size(content: bytes, schema: Any, path: str, max_gigabytes: float) -> None:
    """Check the size of text in memory: a dictionary stores a long text once, but the table repeats it in each row."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    names = [field.name for field in schema if any(kind(field.type) for kind in kinds)]
    size = 0
    for name in names:
        column = pq.read_table(io.BytesIO(content), columns=[name], read_dictionary=[name]).column(0)
        for chunk in column.chunks:
            if isinstance(chunk, pa.DictionaryArray):
                lengths = pc.cast(pc.binary_length(chunk.dictionary), pa.int64())
                size += pc.sum(pc.take(lengths, chunk.indices)).as_py() or 0
            else:
                size += chunk.nbytes
        _refuse_too_large(size, path, max_gigabytes)


def _refuse_too_large(size: float, path: str, max_gigabytes: float) -> None:
    if size > max_gigabytes * 1e9:
        raise SeriesError(
            f"the table in this Parquet file takes {size / 1e9:,.1f} GB; at most {max_gigabytes:g} GB are read",
            where=path,
            do="use fewer rows or columns, or raise data.max_gigabytes if there is enough memory",
        )
