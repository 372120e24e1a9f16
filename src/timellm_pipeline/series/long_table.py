"""Long tables: one row per series and time stamp. Recognise their columns, and convert a table to a panel."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.dates import ParsedDates, has_repeats, parse_dates
from timellm_pipeline.series.facts import StaticFacts, differs
from timellm_pipeline.series.known import as_float32
from timellm_pipeline.series.lines import line_of
from timellm_pipeline.series.long_rows import LongRows
from timellm_pipeline.series.names import list_names
from timellm_pipeline.series.numbers import to_numbers

log = logging.getLogger(__name__)

STANDARD = ("unique_id", "ds", "y")  # the names of other forecasting libraries
REPEATED = 1.5  # rows for each time stamp, from which a table is taken for a long one
MOSTLY = 0.5  # share of numbers in a column of values
JOIN = "/"  # between the parts of an id that has several columns


@dataclass(frozen=True)
class LongColumns:
    """Columns of a long table.

    Attributes:
        ids: columns that identify a series.
        date: column of the time stamps.
        value: column of the values.
        static: columns that describe a series.
        known: columns that are known for the horizon too.
    """

    ids: tuple[str, ...]
    date: str
    value: str
    static: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(dict.fromkeys((*self.ids, self.date, self.value, *self.static, *self.known)))

    def report(self, columns: list[str], file: str) -> None:
        """Log which of the columns of a file are used."""
        others = [name for name in columns if name not in self.names]
        log.info(
            "%s: a long table: ids in %s, time stamps in `%s`, values in `%s`%s%s%s",
            file,
            list_names(list(self.ids)),
            shown(self.date),
            shown(self.value),
            f", facts of a series in {list_names(list(self.static))}" if self.static else "",
            f", known for the horizon {list_names(list(self.known))}" if self.known else "",
            f"; ignoring {list_names(others)}" if others else "",
        )

    def names_of_source(self) -> dict[str, Any]:
        """The columns as fields of `Source`."""
        named = {"id_columns": self.ids, "date_column": self.date, "value_column": self.value}
        return {**named, "static_columns": self.static}


def find_columns(table: pd.DataFrame, data: DataParams, file: str) -> LongColumns | None:
    """Columns of a long table, or None for a wide one. What is recognised is logged.

    A table is long if `data` says so, if it has the columns `unique_id`, `ds` and `y`, or if time stamps are repeated,
    which is an error in a wide table, and the other columns are one column of values and one or more columns of text.
    If most time stamps are repeated, one column of whole numbers may take the place of the texts.

    Raises SeriesError if a column that `data` names is missing, or if the columns of a long table are ambiguous.
    """
    if data.layout == "wide":
        return None
    wanted = data.layout == "long" or bool(data.id_columns) or data.value_column is not None
    static, known = tuple(data.static_columns), tuple(data.known_columns)
    if not wanted and set(STANDARD) <= set(table.columns):
        found = LongColumns(("unique_id",), "ds", "y", static, known)
    else:
        date = next((name for name in (data.date_column, "ds") if name in table.columns), None)
        if date is None or not (wanted or has_repeats(table[date])):
            if not wanted:
                return None
            raise _missing(data.date_column, "data.date_column", "the time stamps", table, file)
        others = table.drop(columns=[name for name in (*static, *known) if name in table.columns])
        ids = tuple(data.id_columns) or _guess_ids(others, date, data.value_column)
        if not ids and not wanted:
            return None
        found = LongColumns(ids, date, data.value_column or _guess_value(others, date, ids, file), static, known)
    named = {
        "data.id_columns": (found.ids, "the ids"),
        "data.value_column": ((found.value,), "the values"),
        "data.static_columns": (found.static, "facts of a series"),
        "data.known_columns": (found.known, "values that are known for the horizon"),
    }
    for parameter, (names, role) in named.items():
        for name in names:
            if name not in table.columns:
                raise _missing(name, parameter, role, table, file)
    if not found.ids or len({*found.ids, found.date, found.value}) < len(found.ids) + 2:
        raise SeriesError(
            f"ids ({list_names(list(found.ids)) or 'none'}), time stamps (`{shown(found.date)}`) and values "
            f"(`{shown(found.value)}`) must be different columns",
            where=f"{file}, header",
            do="set data.id_columns, data.date_column and data.value_column",
        )
    found.report(list(table.columns), file)
    return found


def rows_of_table(table: pd.DataFrame, columns: LongColumns, data: DataParams, file: str) -> LongRows:
    """The rows of a long table. Raises SeriesError for an invalid id, time stamp or value, with its line."""
    number, ids = ids_of(table, columns.ids, data, file)
    parsed = _parse_distinct(table[columns.date], data, file)
    values = to_numbers(table, [columns.value], data, file, may_be_missing=True)[columns.value]
    stamps = parsed.stamps.to_numpy().astype("datetime64[ns]")
    known = np.zeros((len(values), 0), dtype=np.float32)
    if columns.known:
        known = as_float32(to_numbers(table, columns.known, data, file, may_be_missing=True))
    facts = _facts_of(table, columns.static, number, ids, file)
    return LongRows(ids, number, stamps, values, parsed.zone, known, facts)


def _is_repeated(dates: pd.Series) -> bool:
    return len(dates) >= REPEATED * max(dates.nunique(), 1)


def _has_numbers(column: pd.Series) -> bool:
    """Whether a column is numeric, or text of which most values are numbers: a single wrong cell is not an id."""
    if pd.api.types.is_numeric_dtype(column):
        return True
    return bool(pd.to_numeric(column, errors="coerce").notna().mean() > MOSTLY)


def _guess_ids(table: pd.DataFrame, date: str, value: str | None) -> tuple[str, ...]:
    """Columns that identify the series of a table with repeated time stamps; empty if they are not clear."""
    others = [name for name in table.columns if name not in (date, value)]
    texts = tuple(name for name in others if not _has_numbers(table[name]))
    if texts:
        return texts
    whole = [name for name in others if pd.api.types.is_integer_dtype(table[name])]
    if (value is None and len(others) != 2) or not _is_repeated(table[date]):  # one of them has the values
        return ()
    unique = [name for name in whole if not table.duplicated([date, name]).any() and _is_repeated(table[name])]
    return (unique[0],) if unique else ()


def _guess_value(table: pd.DataFrame, date: str, ids: tuple[str, ...], file: str) -> str:
    others = [name for name in table.columns if name not in (date, *ids) and _has_numbers(table[name])]
    if len(others) != 1:
        raise SeriesError(
            f"this looks like a long table with ids in {list_names(list(ids)) or 'no column'}, and "
            f"{list_names(others) or 'no column'} may be the values",
            where=f"{file}, header",
            do="set data.value_column, and data.id_columns to the columns that identify a series; or data.layout=wide",
        )
    return str(others[0])


def _missing(name: str, parameter: str, role: str, table: pd.DataFrame, file: str) -> SeriesError:
    return SeriesError(
        f"there is no column `{shown(name)}`; the columns are {list_names(list(table.columns))}",
        where=f"{file}, header",
        do=f"set {parameter} to the column with {role}",
    )


def ids_of(
    table: pd.DataFrame, columns: tuple[str, ...], data: DataParams, file: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Index of the series of each row, and the ids in the order of their first rows."""
    for name in columns:
        empty = np.flatnonzero(table[name].isna().to_numpy())
        if empty.size:
            raise SeriesError(
                f"an id is missing; there are {empty.size:,} such rows",
                where=f"{file}, line {line_of(int(empty[0]), data.csv)}, column `{shown(name)}`",
                do="fill the id in, or remove these rows",
            )
    number, distinct = pd.factorize(table[columns[0]])
    ids = [str(one) for one in distinct]
    for name in columns[1:]:
        other, parts = pd.factorize(table[name])
        if any(JOIN in str(part) for part in parts) or (name == columns[1] and any(JOIN in one for one in ids)):
            raise SeriesError(
                f"an id contains `{JOIN}`, which joins the parts of ids in several columns",
                where=f"{file}, {list_names(list(columns))}",
                do=f"replace `{JOIN}` in these columns, or write the ids into one column",
            )
        number, pairs = pd.factorize(number.astype(np.int64) * len(parts) + other)
        joined = zip((pairs // len(parts)).tolist(), (pairs % len(parts)).tolist())
        ids = [f"{ids[one]}{JOIN}{parts[another]}" for one, another in joined]
    if len(set(ids)) < len(ids):
        repeated = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        raise SeriesError(
            f"two series have the id `{shown(repeated)}`",
            where=f"{file}, {list_names(list(columns))}",
            do="write ids that are different as text",
        )
    return number.astype(np.int64), tuple(ids)


def _facts_of(
    table: pd.DataFrame, columns: tuple[str, ...], number: np.ndarray, ids: tuple[str, ...], file: str
) -> tuple[str, ...]:
    """Text of the static columns of each series. Raises SeriesError if one changes within a series."""
    facts = StaticFacts(columns)
    for name in columns:
        code, values = pd.factorize(table[name])
        row = facts.add(name, number, code, list(values))
        if row is not None:
            raise differs(name, ids[int(number[row])], file)
    return facts.texts()


def _parse_distinct(column: pd.Series, data: DataParams, file: str) -> ParsedDates:
    """As `parse_dates`, but each distinct value of a long table is parsed once."""
    number, distinct = pd.factorize(column)
    if (number < 0).any():
        return parse_dates(column, data, file)  # reports the first empty one with its line
    try:
        parsed = parse_dates(pd.Series(distinct, name=column.name), data, file)
    except SeriesError:
        return parse_dates(column, data, file)  # with the right line
    return ParsedDates(parsed.stamps.iloc[number].reset_index(drop=True), parsed.zone)
