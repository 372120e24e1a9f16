"""Read a large CSV in chunks of rows: pandas needs three times the memory of the file to read it at once.

pandas chooses the dtype of a column by its values. A chunk may give another dtype than the complete column, and then
other values. So the chunks are joined only if all of them give dtypes that have the same values as the complete column.
"""

import io
from typing import Any

import pandas as pd

SMALL = 32 << 20  # bytes of a file that is read at once
ROWS = 250_000  # rows of a chunk
LARGEST = 2**53  # integers up to this one have the same value as float64
# Options with which pandas returns something else than a table of rows that can be joined.
NOT_IN_CHUNKS = {"nrows", "skipfooter", "chunksize", "iterator", "dtype", "dtype_backend", "parse_dates", "index_col"}


def read_in_chunks(
    content: bytes, options: dict[str, Any], small: int = SMALL, rows: int = ROWS
) -> pd.DataFrame | None:
    """The table in a CSV text in UTF-8, as `pandas.read_csv` reads it at once; None if it should be read at once.

    Args:
        content: the text.
        options: options of `pandas.read_csv`.
        small: bytes of a text that is read at once.
        rows: rows of a chunk.

    Raises the errors of `pandas.read_csv`.
    """
    if len(content) <= small or options.get("engine", "c") != "c" or NOT_IN_CHUNKS & options.keys():
        return None
    columns: list[list[pd.Series]] = []
    names: pd.Index = pd.Index([])
    reader = pd.read_csv(io.BytesIO(content), index_col=False, skip_blank_lines=False, chunksize=rows, **options)
    with reader:
        for chunk in reader:
            names = chunk.columns
            columns = columns or [[] for _ in names]
            for number, parts in enumerate(columns):
                parts.append(chunk.iloc[:, number].reset_index(drop=True).copy())
    table: dict[int, pd.Series] = {}
    for number, parts in enumerate(columns):
        if not _have_values_of_whole(parts):
            return None
        table[number] = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
        parts.clear()
    return pd.DataFrame(table, copy=False).set_axis(names, axis=1)


def _have_values_of_whole(parts: list[pd.Series]) -> bool:
    """Whether the parts of a column have the values that the complete column would have."""
    kinds = {part.dtype.kind for part in parts}
    if kinds <= {"i", "f"}:
        integers = [part for part in parts if part.dtype.kind == "i"]
        return len(kinds) == 1 or all(part.min() >= -LARGEST and part.max() <= LARGEST for part in integers)
    # Text: a number among words is text in a complete column too, but its chunk may contain nothing else.
    return len(kinds) == 1 and all(isinstance(part.dtype, pd.StringDtype) for part in parts)
