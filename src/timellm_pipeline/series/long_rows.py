"""Rows of a long table (series, time stamp, value), sorted and checked, without a Python object for each row."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.series.names import list_names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LongRows:
    """Rows of a long table.

    Attributes:
        ids: id of each series, in the order of its first row.
        series: index of the series of each row.
        stamps: naive time stamp of each row.
        values: value of each row; NaN if it is missing.
        zone: time zone of the file, see `time_zone.py`.
        known: values of the known columns; NaN if one is missing.
        facts: text of the static columns of each series; empty without such columns.
    """

    ids: tuple[str, ...]
    series: Int[np.ndarray, "rows"]
    stamps: np.ndarray
    values: Float[np.ndarray, "rows"]
    zone: str | None
    known: Float32[np.ndarray, "rows columns"]
    facts: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> "LongRows":
        """Some of the rows, in the given order."""
        names = ("series", "stamps", "values", "known")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def sorted(self, file: str) -> "LongRows":
        """Rows sorted by series, then by time; the same object if they are sorted already."""
        same = self.series[1:] == self.series[:-1]
        backwards = same & (self.stamps[1:] < self.stamps[:-1])
        if not backwards.any() and len(same) - np.count_nonzero(same) == len(self.ids) - 1:
            return self  # each series is one run of rows
        if backwards.any():
            row = int(np.flatnonzero(backwards)[0]) + 1
            log.warning("%s: rows are not sorted by time (for example %s); sorting them", file, self.describe(row))
        return self.take(np.lexsort((self.stamps, self.series)))

    def describe(self, row: int) -> str:
        """Series and time stamp of a row, for a message."""
        return f"`{shown(self.ids[int(self.series[row])])}` at {pd.Timestamp(self.stamps[row])}"


def runs(rows: LongRows) -> tuple[Int[np.ndarray, "series"], Int[np.ndarray, "series"]]:
    """First row of each series, and the row after its last one."""
    starts = np.flatnonzero(np.concatenate([[True], rows.series[1:] != rows.series[:-1]]))
    return starts, np.append(starts[1:], len(rows.series))


def refuse_infinite(rows: LongRows, file: str) -> None:
    """Infinity is not a missing value, which could be filled in."""
    wrong = np.flatnonzero(np.isinf(rows.values))
    if len(wrong):
        raise SeriesError(
            f"the value of {rows.describe(int(wrong[0]))} is not a finite number; there are {len(wrong):,} such values",
            where=file,
            do="correct the values, or remove these rows",
        )


def refuse_repeated(rows: LongRows, file: str) -> None:
    """Raise SeriesError for a time stamp that a series has twice."""
    repeated = (rows.series[1:] == rows.series[:-1]) & (rows.stamps[1:] == rows.stamps[:-1])
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        raise SeriesError(
            f"the time stamp of {rows.describe(row)} is repeated; there are {int(repeated.sum()):,} such rows",
            where=file,
            do="keep one row per series and time stamp",
        )


def with_values(rows: LongRows, file: str) -> LongRows:
    """The rows of the series that have a value. The others are logged: a new store may have a price and no sales yet.

    Rows are unchanged if no series has a value, which is reported as a gap.
    """
    has_value = np.zeros(len(rows.ids), dtype=bool)
    has_value[rows.series[~np.isnan(rows.values)]] = True
    if has_value.all() or not has_value.any():
        return rows
    without = [rows.ids[number] for number in np.flatnonzero(~has_value)]
    log.warning("%s: %s series have no values and are left out: %s", file, f"{len(without):,}", list_names(without))
    kept = rows.take(np.flatnonzero(has_value[rows.series]))
    number = np.cumsum(has_value) - 1
    return replace(
        kept,
        ids=tuple(name for name, has in zip(rows.ids, has_value) if has),
        series=number[kept.series].astype(kept.series.dtype),
        facts=tuple(fact for fact, has in zip(rows.facts, has_value) if has),
    )


def until_the_last_value(rows: LongRows, starts: Int[np.ndarray, "series"]) -> Int[np.ndarray, "kept"]:
    """Rows up to the last value of each series. Later rows contain what is known of the future."""
    number = np.arange(len(rows.series))
    last = np.maximum.reduceat(np.where(np.isnan(rows.values), -1, number), starts)
    last = np.where(last < 0, len(number), last)  # a series without values is reported with its gaps
    return np.flatnonzero(number <= np.repeat(last, np.diff(starts, append=len(number))))


def refuse_unknown(rows: LongRows, kept: Int[np.ndarray, "kept"], known: Sequence[str], file: str) -> None:
    """Raise SeriesError if a known column has no value in a row that has a value of the series."""
    wrong = np.isinf(rows.known)
    wrong[kept] |= np.isnan(rows.known[kept])
    row, column = np.nonzero(wrong)
    if len(row):
        what = "no finite value" if np.isinf(rows.known[row[0], column[0]]) else "no value"
        raise SeriesError(
            f"the known column `{shown(known[column[0]])}` has {what} for {rows.describe(int(row[0]))}; there are "
            f"{len(row):,} such values",
            where=f"{file}, column `{shown(known[column[0]])}`",
            do="fill them in, or remove the column from data.known_columns",
        )
