"""Known columns: values such as a price or a promotion that are known for the horizon too."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int

from timellm_pipeline.series.identity import digest_of, digest_of_arrays
from timellm_pipeline.series.mapped import PickledByPath

log = logging.getLogger(__name__)

MANY_AHEAD = 0.2  # share of the rows


@dataclass(frozen=True, eq=False)
class KnownValues:
    """Values of the known columns in the rows of windows: input and horizon."""

    names: tuple[str, ...]
    values: Float32[np.ndarray, "windows rows columns"]

    def words(self, seq_len: int, as_text: Callable[[float], str]) -> list[str]:
        """The mean of each column in the input and in the horizon of each window, as text."""
        past, future = self.values[:, :seq_len].mean(axis=1), self.values[:, seq_len:].mean(axis=1)
        return [
            ", ".join(f"{name} {as_text(first)} then {as_text(then)}" for name, first, then in zip(self.names, *means))
            for means in zip(past.tolist(), future.tolist())
        ]


@dataclass(frozen=True, eq=False)
class Known(PickledByPath):
    """Values of the known columns, from the first row of each series until they are not known any more.

    Attributes:
        names: names of the columns.
        values: values of all rows.
        start: position in `values` of the first row of each series. Channels of a wide table share their rows.
        length: number of rows of each series: at least that of the series.
    """

    names: tuple[str, ...]
    values: Float32[np.ndarray, "points columns"]
    start: Int[np.ndarray, "series"]
    length: Int[np.ndarray, "series"]

    def select(self, numbers: Sequence[int]) -> "Known":
        """The known values of some series."""
        return replace(self, start=self.start[numbers], length=self.length[numbers])

    def gather(self, series: Int[np.ndarray, "windows"], first: Int[np.ndarray, "windows"], rows: int) -> KnownValues:
        """Values of windows.

        Args:
            series: index of the series of each window.
            first: first row of each window, counted within its series.
            rows: rows of a window.
        """
        return KnownValues(self.names, self.values[(self.start[series] + first)[:, None] + np.arange(rows)])

    def digest(self, lengths: Int[np.ndarray, "series"]) -> str:
        """sha256 of names and values in the rows of the series. What is known of the future changes no training.

        Args:
            lengths: number of rows of each series.
        """
        distinct, number = np.unique(np.stack([self.start, lengths], axis=1), axis=0, return_inverse=True)
        digest = hashlib.sha256()
        for start, length in distinct.tolist():
            digest.update(np.ascontiguousarray(self.values[start : start + length]).data)
        return digest_of([list(self.names), digest.hexdigest(), digest_of_arrays(number.reshape(-1), lengths)])


def as_float32(columns: Mapping[str, np.ndarray]) -> Float32[np.ndarray, "rows columns"]:
    """Columns as one array; infinite where a value is too large, which is refused with the infinite ones."""
    with np.errstate(over="ignore"):
        return np.stack(list(columns.values()), axis=1).astype(np.float32)


def report_future(ahead: int, rows: int, file: str) -> None:
    """Log how many rows are taken for the future; a warning if they are many, which may be a broken export."""
    if ahead:
        level = logging.WARNING if ahead > MANY_AHEAD * rows else logging.INFO
        message = "%s: %s rows after the last value contain known columns of the future; %s rows have values"
        log.log(level, message, file, f"{ahead:,}", f"{rows:,}")


def known_on_grid(
    names: Sequence[str],
    values: Float32[np.ndarray, "rows columns"],
    series: Int[np.ndarray, "rows"],
    row: Int[np.ndarray, "rows"],
    lengths: Int[np.ndarray, "series"],
) -> Known:
    """The known columns of all rows of a long table, which is sorted by series and time.

    Missing rows inside a series, whose value is filled in, are interpolated. After its last value, they end what is
    known.

    Args:
        names: names of the columns.
        values: values of each row; NaN only after the last value of a series.
        series: index of the series of each row.
        row: place of each row in its series.
        lengths: number of rows of each series up to its last value.
    """
    length = np.zeros(len(lengths), dtype=np.int64)
    np.maximum.at(length, series, row + 1)
    start = np.cumsum(length) - length
    dense = np.full((int(length.sum()), len(names)), np.nan, dtype=np.float32)
    dense[start[series] + row] = values
    place = np.flatnonzero(np.isnan(dense).any(axis=1))
    of_series = np.searchsorted(start, place, side="right") - 1
    inside = place - start[of_series] < lengths[of_series]
    np.minimum.at(length, of_series[~inside], (place - start[of_series])[~inside])
    for number in np.unique(of_series[inside]):  # only series with gaps
        part = dense[start[number] : start[number] + lengths[number]]
        gone = np.isnan(part).any(axis=1)
        for column in part.T:
            column[gone] = np.interp(np.flatnonzero(gone), np.flatnonzero(~gone), column[~gone])
    return Known(tuple(names), dense, start, length)
