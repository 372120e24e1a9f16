"""Read a large CSV in chunks of rows: pandas needs three times the memory of the file to read it at once.

pandas chooses the dtype of a column by its values. A chunk may give another dtype than the complete column, and then
other values. So chunks are used only if all of them give dtypes that have the same values as the complete column.
"""

import io
from typing import Any

import numpy as np
import pandas as pd

SMALL = 32 << 20  # bytes of a file that is read at once
ROWS = 250_000  # rows of a chunk
LARGEST = 2**53  # integers up to this one have the same value as float64
# Options with which pandas returns something else than a table of rows that can be joined, or other ends of lines.
NOT_IN_CHUNKS = {
    *("nrows", "skipfooter", "chunksize", "iterator", "dtype", "dtype_backend", "parse_dates", "index_col"),
    "lineterminator",
}


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
    columns: list[_Column] = []
    names: pd.Index = pd.Index([])
    most = content.count(b"\n") + content.count(b"\r") + 1  # rows
    reader = pd.read_csv(io.BytesIO(content), index_col=False, skip_blank_lines=False, chunksize=rows, **options)
    with reader:
        for chunk in reader:
            parts = [chunk.iloc[:, number].reset_index(drop=True) for number in range(len(chunk.columns))]
            names, columns = chunk.columns, columns or [_Column(part, most) for part in parts]
            if not all(column.add(part) for column, part in zip(columns, parts, strict=True)):
                return None
    joined = {number: column.joined() for number, column in enumerate(columns)}
    return pd.DataFrame(joined, copy=False).set_axis(names, axis=1)


class _Column:
    """A column that grows by the parts of chunks.

    Numbers are copied into one array: many small arrays leave holes in memory when they are joined and freed. Its pages
    exist only when they are written.

    Args:
        first: the part of the first chunk, which decides whether this is a column of text or of numbers.
        most: largest possible number of rows.
    """

    def __init__(self, first: pd.Series, most: int) -> None:
        self.texts: list[pd.Series] = []
        self.count = 0
        self.is_text = isinstance(first.dtype, pd.StringDtype)
        values = first.to_numpy() if first.dtype.kind in "if" else np.zeros(0, dtype=bool)
        self.numbers = np.empty(most, dtype=values.dtype)

    def add(self, part: pd.Series) -> bool:
        """Append a part. False if the complete column might have other values."""
        if self.is_text:  # a number among words is text in a complete column too, but not in a chunk of numbers alone
            self.texts.append(part)
            return isinstance(part.dtype, pd.StringDtype)
        kinds = {self.numbers.dtype.kind, part.dtype.kind}
        if not kinds <= {"i", "f"}:
            return False
        if kinds == {"i", "f"}:
            integers = part.to_numpy() if part.dtype.kind == "i" else self.numbers[: self.count]
            if integers.min() < -LARGEST or integers.max() > LARGEST:
                return False
            if self.numbers.dtype.kind == "i":
                converted = np.empty(len(self.numbers))
                converted[: self.count] = self.numbers[: self.count]
                self.numbers = converted
        end = self.count + len(part)
        self.numbers[self.count : end] = part
        self.count = end
        return True

    def joined(self) -> pd.Series:
        """The complete column."""
        return pd.concat(self.texts, ignore_index=True) if self.is_text else pd.Series(self.numbers[: self.count])
