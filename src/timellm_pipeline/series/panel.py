"""A panel: all series of one data set on one time grid.

All values are stored in one flat array, series after series; `offsets` contains the start of each series. Series may
have different lengths, and 100,000 series need no Python object each. The grid has one frequency. A series starts at
some position of the grid and has no missing rows: they were filled in, and `filled` lists them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from timellm_pipeline.series.identity import digest_of, digest_of_arrays
from timellm_pipeline.series.known import Known
from timellm_pipeline.series.mapped import PickledByPath, empty, release
from timellm_pipeline.series.time_zone import as_in_file

BLOCK = 1 << 20  # values
NO_SPANS: Int[np.ndarray, "0 3"] = np.zeros((0, 3), dtype=np.int64)


@dataclass(frozen=True)
class Source:
    """Origin of a panel: a file or a table in memory.

    Attributes:
        path: path of the file, or a name for a table in memory.
        sha256: digest of the bytes of the file; None for a table in memory.
        num_rows: rows of the file.
        id_columns: columns of a long table that identify a series; empty for a wide table.
        date_column: column with the time stamps.
        value_column: column with the values of a long table.
        static_columns: columns of a long table that describe a series.
    """

    path: str = "the table"
    sha256: str | None = None
    num_rows: int = 0
    id_columns: tuple[str, ...] = ()
    date_column: str = "date"
    value_column: str | None = None
    static_columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Panel(PickledByPath):
    """Series on one time grid.

    Attributes:
        ids: id of each series: a column of a wide file, or one id of a long file.
        values: all values, series after series.
        offsets: the values of series `s` are `values[offsets[s] : offsets[s + 1]]`.
        first: grid position of the first row of each series.
        start: naive time stamp of grid position 0: wall time in `zone`, or UTC if the offset of `zone` changes.
        frequency: pandas alias of the step of the grid.
        zone: UTC offset or time zone in the file, such as `+02:00`; None if the file has none.
        filled: spans that were filled in: series, first row, last row (rows counted within the series), sorted.
        drop_filled: whether windows that contain filled rows are excluded (`data.gaps: drop_windows`).
        source: file or table that the panel was read from.
        data_id: id of the data preparation that scaled the panel; None in original units.
        known: columns that are known for the horizon too; None without them.
        facts: text of each series for prompts, from static columns; empty without them.
        folder: folder for values that do not fit into memory and are mapped; None: they are in memory.
    """

    ids: tuple[str, ...]
    values: Float[np.ndarray, "points"]
    offsets: Int[np.ndarray, "series+1"]
    first: Int[np.ndarray, "series"]
    start: pd.Timestamp
    frequency: str
    zone: str | None = None
    filled: Int[np.ndarray, "spans 3"] = field(default_factory=lambda: NO_SPANS)
    drop_filled: bool = False
    source: Source = Source()
    data_id: str | None = None
    known: Known | None = None
    facts: tuple[str, ...] = ()
    folder: Path | None = None

    @classmethod
    def from_columns(cls, columns: dict[str, Float[np.ndarray, "rows"]], **facts: Any) -> "Panel":
        """A panel of series that have the same length and start."""
        num_rows = len(next(iter(columns.values())))
        return cls(
            ids=tuple(columns),
            values=np.concatenate(list(columns.values())),
            offsets=np.arange(len(columns) + 1, dtype=np.int64) * num_rows,
            first=np.zeros(len(columns), dtype=np.int64),
            **facts,
        )

    @property
    def num_series(self) -> int:
        """Number of series."""
        return len(self.ids)

    @property
    def lengths(self) -> Int[np.ndarray, "series"]:
        """Number of rows of each series."""
        return np.diff(self.offsets)

    @cached_property
    def num_rows(self) -> int:
        """Number of rows of the time grid, from its start to the last row of any series."""
        return int((self.first + self.lengths).max())

    @cached_property
    def stamps(self) -> pd.DatetimeIndex:
        """Naive time stamp of each row of the grid."""
        return pd.date_range(self.start, periods=self.num_rows, freq=self.frequency)

    @cached_property
    def stamps_in_file(self) -> pd.DatetimeIndex:
        """Time stamps as written in the file: with its UTC offset or time zone, if it has one."""
        return as_in_file(self.stamps, self.zone)

    def stamp(self, position: int) -> pd.Timestamp:
        """Naive time stamp of a grid position, which may be after the last row."""
        return pd.date_range(self.start, periods=position + 1, freq=self.frequency)[-1]

    @cached_property
    def number_of(self) -> dict[str, int]:
        """Index of each series by its id."""
        return {name: number for number, name in enumerate(self.ids)}

    def series(self, number: int) -> Float[np.ndarray, "rows"]:
        """Values of one series, as a view."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def rows_inside(self, number: int, rows: tuple[int, int]) -> slice:
        """Rows of one series inside a half-open range of grid positions."""
        begin = int(self.first[number])
        return slice(max(rows[0] - begin, 0), max(rows[1] - begin, 0))

    def filled_spans(self, number: int) -> Int[np.ndarray, "spans 2"]:
        """First and last row of each filled span of one series."""
        begin, end = np.searchsorted(self.filled[:, 0], [number, number + 1])
        return self.filled[begin:end, 1:]

    def is_filled(
        self, number: Int[np.ndarray, "points"], row: Int[np.ndarray, "points"]
    ) -> Bool[np.ndarray, "points"]:
        """Whether rows of series were filled in."""
        if not len(self.filled):
            return np.zeros(len(row), dtype=bool)
        place = self.offsets[number] + row
        first, last = (self.offsets[self.filled[:, 0]] + self.filled[:, end] for end in (1, 2))
        span = np.searchsorted(first, place, side="right") - 1
        return (span >= 0) & (place <= last[span])

    def filled_share(self, rows: tuple[int, int] | None = None) -> float:
        """Share of filled rows in the series that has the largest share.

        Args:
            rows: half-open range of grid positions; None: all rows.
        """
        begin, end = rows or (0, self.num_rows)
        low, high = (np.clip(position - self.first, 0, self.lengths) for position in (begin, end))
        number, first, last = self.filled.T
        inside = np.minimum(last + 1, high[number]) - np.maximum(first, low[number])
        filled = np.bincount(number, weights=np.maximum(inside, 0), minlength=self.num_series)
        return float((filled / np.maximum(high - low, 1)).max())

    def select(self, ids: Sequence[str]) -> "Panel":
        """A panel of the given series, in the given order. Raises KeyError for an unknown id."""
        if tuple(ids) == self.ids:
            return self
        numbers = [self.number_of[name] for name in ids]
        spans = [self.filled_spans(number) for number in numbers]
        filled = [np.column_stack([np.full(len(span), row), span]) for row, span in enumerate(spans)]
        offsets = np.concatenate([[0], np.cumsum(self.lengths[numbers])])
        values = empty(int(offsets[-1]), self.values.dtype, self.folder)
        for number, begin, end in zip(numbers, offsets[:-1], offsets[1:]):
            values[begin:end] = self.series(number)
            if begin // BLOCK != end // BLOCK:
                release(self.values)
                release(values)
        return replace(
            self,
            ids=tuple(ids),
            values=values,
            offsets=offsets,
            first=self.first[numbers],
            filled=np.concatenate(filled),
            known=self.known.select(numbers) if self.known else None,
            facts=tuple(self.facts[number] for number in numbers) if self.facts else (),
        )

    def blocks(self) -> Iterator[Int[np.ndarray, "some"]]:
        """Iterator over the numbers of neighbouring series, about a million values at a time. Bounds memory."""
        ends = self.offsets[1:]
        for some in np.split(np.arange(self.num_series), np.flatnonzero(np.diff(ends // BLOCK)) + 1):
            yield some
            release(self.values)
            if self.known is not None:
                release(self.known.values)

    def digest(self) -> str:
        """sha256 over everything that affects results: ids, values, time grid, and the rows excluded from windows."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        excluded = self.filled if self.drop_filled else NO_SPANS
        facts: dict[str, Any] = {"ids": self.ids, "start": str(self.start), "frequency": self.frequency}
        if self.known:
            facts["known"] = self.known.digest(self.lengths)
        if self.facts:
            facts["facts"] = self.facts
        return digest_of({**facts, "arrays": digest_of_arrays(self.values, self.offsets, self.first, excluded)})

    def to_frame(self) -> pd.DataFrame:
        """A wide table: `date`, then one column per series; NaN if a series has no row at that time."""
        table = np.full((self.num_rows, self.num_series), np.nan)
        for number in range(self.num_series):
            begin = self.first[number]
            table[begin : begin + self.lengths[number], number] = self.series(number)
        frame = pd.DataFrame(table, columns=list(self.ids))
        frame.insert(0, "date", self.stamps, allow_duplicates=True)
        return frame
