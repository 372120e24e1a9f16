"""Rows of known columns to the known values of a panel: of a wide table, and of a file with future rows only."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.dates import parse_dates
from timellm_pipeline.series.known import Known, known_on_grid
from timellm_pipeline.series.lines import line_of
from timellm_pipeline.series.long_table import ids_of
from timellm_pipeline.series.names import list_names
from timellm_pipeline.series.numbers import to_numbers
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.reading import RawFile, read_table


def known_of_wide(panel: Panel, table: pd.DataFrame, stamps: pd.Series, num_values: int, data: DataParams) -> Known:
    """The known columns of a wide table, which all series share.

    Args:
        panel: the series, which start with the first row.
        table: the table, with known columns in all rows.
        stamps: naive time stamp of each row.
        num_values: number of rows before those of the future.
        data: names of the columns, and how numbers are read.

    Raises SeriesError for a missing value, except of the future, and for a row that is not on the time grid.
    """
    file = panel.source.path
    columns = to_numbers(table[data.known_columns], data, file, may_be_missing=True)
    for name, column in columns.items():
        missing = np.flatnonzero(np.isnan(column[:num_values]))
        if len(missing):
            raise SeriesError(
                f"the known column `{shown(name)}` has no value; there are {len(missing):,} such rows",
                where=f"{file}, line {line_of(int(missing[0]), data.csv)}, column `{shown(name)}`",
                do="fill them in, or remove the column from data.known_columns",
            )
    row = _positions(panel, pd.DatetimeIndex(stamps), file)
    values = np.stack(list(columns.values()), axis=1).astype(np.float32)
    one = known_on_grid(list(columns), values, np.zeros(len(row), dtype=np.int64), row, panel.lengths[:1])
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


def _positions(panel: Panel, stamps: pd.DatetimeIndex, file: str) -> np.ndarray:
    """Grid position of each row."""
    grid = pd.date_range(panel.start, max(stamps.max(), panel.start), freq=panel.frequency)
    row = grid.get_indexer(stamps)
    if (row < 0).any():
        raise SeriesError(
            f"{stamps[row < 0][0]} is not on the grid of {panel.frequency} steps from {panel.start}",
            where=file,
            do="correct the time stamps so that they are evenly spaced",
        )
    return row


def with_future(panel: Panel, file: RawFile, data: DataParams) -> Panel:
    """The panel with the known columns of a second file for rows after the last value of each series.

    Args:
        panel: series with known columns.
        file: a table with the columns of ids, time stamps and known columns. Earlier rows and other ids are ignored.
        data: how the file is read.

    Raises SeriesError for a column, an id or a value that is missing.
    """
    known, source, path = panel.known, panel.source, file.path
    if known is None:
        raise SeriesError(
            "a file of known columns is given, but the series have none",
            where=path,
            do="set data.known_columns, or leave known_csv out",
        )
    table = read_table(file, data)
    refuse_absent(table, (*source.id_columns, source.date_column, *known.names), "data.known_columns", path)
    values = np.stack(
        [*to_numbers(table[list(known.names)], data, path, may_be_missing=False).values()], axis=1, dtype=np.float32
    )
    stamps = pd.DatetimeIndex(parse_dates(table[source.date_column], data, path).stamps)
    number = np.zeros(len(table), dtype=np.int64)
    if source.id_columns:
        code, ids = ids_of(table, source.id_columns, data, path)
        number = np.array([panel.number_of.get(name, -1) for name in ids])[code]
    is_later = stamps >= panel.start
    used = np.flatnonzero((number >= 0) & is_later)
    row = _positions(panel, stamps[used], path) - panel.first[number[used]]
    later = row >= panel.lengths[number[used]]
    number, row, values = number[used][later], row[later], values[used][later]
    _refuse_repeated(panel, number, row, path)
    groups = 1 if not source.id_columns else panel.num_series  # channels of a wide table share their rows
    counts = panel.lengths[:groups]
    of_series, of_row = np.repeat(np.arange(groups), counts), np.concatenate([np.arange(count) for count in counts])
    past = known.values[np.repeat(known.start[:groups], counts) + of_row]
    joined = known_on_grid(
        known.names,
        np.concatenate([past, values]),
        np.concatenate([of_series, number]),
        np.concatenate([of_row, row]),
        counts,
    )
    repeated = panel.num_series // groups
    return replace(
        panel, known=replace(joined, start=joined.start.repeat(repeated), length=joined.length.repeat(repeated))
    )


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
