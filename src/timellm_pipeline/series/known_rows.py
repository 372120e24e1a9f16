"""Rows of known columns to the known values of a panel: of a wide table, and of a file with future rows only."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.dates import ParsedDates, parse_dates
from timellm_pipeline.series.known import Known, as_float32, known_on_grid
from timellm_pipeline.series.lines import line_of
from timellm_pipeline.series.long_table import ids_of
from timellm_pipeline.series.names import list_names
from timellm_pipeline.series.numbers import to_numbers
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.reading import RawFile, read_table
from timellm_pipeline.series.time_zone import to_utc


def known_of_wide(panel: Panel, table: pd.DataFrame, stamps: pd.Series, data: DataParams) -> Known:
    """The known columns of a wide table, which all series share.

    Args:
        panel: the series, which start with the first row.
        table: the table, with known columns in all rows.
        stamps: naive time stamp of each row.
        data: names of the columns, and how numbers are read.

    Raises SeriesError for a missing value, except of the future, a row twice, and a row that is not on the time grid.
    """
    file = panel.source.path
    columns = to_numbers(table, data.known_columns, data, file, may_be_missing=True)
    values = as_float32(columns)
    row = _positions(panel, pd.DatetimeIndex(stamps), file)
    number = np.zeros(len(row), dtype=np.int64)
    _refuse_repeated(panel, number, row, file)
    wrong = np.isinf(values) | (np.isnan(values) & (row < panel.lengths[0])[:, None])
    for name, column in zip(columns, wrong.T):
        if column.any():
            raise SeriesError(
                f"the known column `{shown(name)}` has no value; there are {int(column.sum()):,} such rows",
                where=f"{file}, line {line_of(int(column.argmax()), data.csv)}, column `{shown(name)}`",
                do="fill them in, or remove the column from data.known_columns",
            )
    one = known_on_grid(list(columns), values, number, row, panel.lengths[:1])
    return Known(one.names, one.values, *(part.repeat(panel.num_series) for part in (one.start, one.length)))


def refuse_absent(table: pd.DataFrame, names: Sequence[str], parameter: str, file: str) -> None:
    """Raise SeriesError if a table lacks one of the columns that a parameter names."""
    for name in names:
        if name not in table.columns:
            raise SeriesError(
                f"there is no column `{shown(name)}`; the columns are {list_names(list(table.columns))}",
                where=f"{file}, header",
                do=f"correct {parameter}, or add the column",
            )


def with_future(panel: Panel, file: RawFile, data: DataParams) -> Panel:
    """The panel with the known columns of a second file for rows after the last value of each series.

    They replace those of the first file, if both have them.

    Args:
        panel: series with known columns.
        file: a table with the columns of ids, time stamps and known columns. Earlier rows and other ids are ignored.
        data: how the file is read.

    Raises SeriesError for a column or value that is missing, a row twice, and a file without a row of the future.
    """
    known, path = panel.known, file.path
    if known is None:
        raise SeriesError(
            "a file of known columns is given, but the model uses none",
            where=path,
            do="leave known_csv out, or train with data.known_columns",
        )
    if file.parts:
        raise SeriesError(
            "this is a folder, and the known columns of the future are read from one file",
            where=path,
            do="write them into one CSV or Parquet file",
        )
    number, row, values = _future_rows(panel, known, file, data)
    groups = panel.num_series if panel.source.id_columns else 1  # channels of a wide table share their rows
    counts = known.length[:groups]
    of_series, of_row = np.repeat(np.arange(groups), counts), np.concatenate([np.arange(count) for count in counts])
    joined = known_on_grid(
        known.names,
        np.concatenate([known.values[np.repeat(known.start[:groups], counts) + of_row], values]),
        np.concatenate([of_series, number]),
        np.concatenate([of_row, row]),
        panel.lengths[:groups],
    )
    times = panel.num_series // groups
    return replace(panel, known=replace(joined, start=joined.start.repeat(times), length=joined.length.repeat(times)))


def _future_rows(
    panel: Panel, known: Known, file: RawFile, data: DataParams
) -> tuple[Int[np.ndarray, "rows"], Int[np.ndarray, "rows"], Float32[np.ndarray, "rows columns"]]:
    """Index of the series, row in the series, and values of the rows of a file that are after the last value."""
    source, path = panel.source, file.path
    table = read_table(file, data)
    refuse_absent(table, (*source.id_columns, source.date_column, *known.names), "data.known_columns", path)
    columns = to_numbers(table, known.names, data, path, may_be_missing=True)
    values = as_float32(columns)
    stamps = _in_zone(parse_dates(table[source.date_column], data, path), panel, path)
    number = np.zeros(len(table), dtype=np.int64)
    if source.id_columns:
        code, ids = ids_of(table, source.id_columns, data, path)
        number = np.array([panel.number_of.get(name, -1) for name in ids])[code]
    ends = panel.first + panel.lengths - 1
    last = pd.date_range(panel.start, periods=int(ends.max()) + 1, freq=panel.frequency)[ends]
    used = np.flatnonzero((number >= 0) & (stamps > last[number]))
    if not len(used):
        raise SeriesError(
            f"no row is after the last value of a series ({last.max()}); the file has rows of "
            f"{int((np.unique(number) >= 0).sum()):,} of {panel.num_series:,} series, until {stamps.max()}",
            where=path,
            do="write the known columns of the rows to be forecast, with the ids of the series",
        )
    number, row, values = number[used], _positions(panel, stamps[used], path), values[used]
    row = row - panel.first[number]
    _refuse_repeated(panel, number, row, path)
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        one = int(wrong[0])
        raise SeriesError(
            f"a known column has no value for `{shown(panel.ids[int(number[one])])}` at {stamps[used[one]]}; there are "
            f"{len(wrong):,} such rows",
            where=path,
            do="fill them in",
        )
    return number, row, values


def _in_zone(dates: ParsedDates, panel: Panel, file: str) -> pd.DatetimeIndex:
    """Time stamps of a second file as naive time stamps of the panel's grid.

    Raises SeriesError if only one of the files has a time zone: the instants are unknown.
    """
    if (dates.zone is None) != (panel.zone is None):
        one, other = ("has no", "has a") if dates.zone is None else ("has a", "has no")
        raise SeriesError(
            f"this file {one} time zone, and the file of the series {other} time zone",
            where=file,
            do="write the time stamps of both files with their UTC offset, or of both without",
        )
    if dates.zone is None:
        return pd.DatetimeIndex(dates.stamps)
    in_utc = to_utc(dates.stamps, dates.zone)
    start = to_utc(pd.DatetimeIndex([panel.start]), panel.zone)[0]
    return (in_utc - start) + panel.start  # the grid has a constant offset to UTC


def _positions(panel: Panel, stamps: pd.DatetimeIndex, file: str) -> Int[np.ndarray, "rows"]:
    """Grid position of each row. Raises SeriesError for a time stamp that is not on the grid."""
    grid = pd.date_range(panel.start, max(stamps.max(), panel.start), freq=panel.frequency)
    row = grid.get_indexer(stamps)
    if (row < 0).any():
        raise SeriesError(
            f"{stamps[row < 0][0]} is not on the grid of {panel.frequency} steps from {panel.start}",
            where=file,
            do="correct the time stamps so that they are evenly spaced",
        )
    return row


def _refuse_repeated(panel: Panel, number: np.ndarray, row: np.ndarray, path: str) -> None:
    rows = pd.DataFrame({"number": number, "row": row})
    repeated = np.flatnonzero(rows.duplicated())
    if len(repeated):
        first = int(repeated[0])
        stamp = panel.stamp(int(panel.first[number[first]] + row[first]))
        raise SeriesError(
            f"the time stamp of `{shown(panel.ids[int(number[first])])}` at {stamp} is repeated",
            where=path,
            do="keep one row per series and time stamp",
        )
