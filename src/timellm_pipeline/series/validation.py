"""Validation of a raw table: dates must be valid and evenly spaced, channels numeric and complete."""

import difflib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series.clock import future_by
from timellm_pipeline.series.dates import parse_dates, repeated_hour
from timellm_pipeline.series.frequency import find_frequency
from timellm_pipeline.series.gaps import fill_gaps
from timellm_pipeline.series.lines import line_of
from timellm_pipeline.series.names import clean_names, list_names, text_names
from timellm_pipeline.series.panel import NO_SPANS, Panel, Source

log = logging.getLogger(__name__)

GIVE_CHANNELS = "give a table with the channels that the model was trained on"
_REMOVE = "fill the value in, or remove the column if it is not a channel"
REPEATED_HOUR = (
    "this looks like the repeated hour of a daylight saving time change: write time stamps in UTC or with their UTC "
    "offset, and do not delete rows"
)
KINDS = (
    ((list, tuple, dict, set, np.ndarray), "lists or dictionaries"),
    ((date, time, pd.Period), "dates or times"),  # datetime and Timestamp are subclasses of date
    ((timedelta, np.timedelta64), "durations"),
    ((complex, np.complexfloating), "complex numbers"),
)


@dataclass(frozen=True)
class Wanted:
    """Columns of a table that become series.

    Attributes:
        noun: what a message calls one of `channels`.
        channels: required columns.
        others: whether the other columns become series too; otherwise they are ignored and logged.
        advice: what to do if a channel is missing; `{near}` is replaced by the most similar name.
        of_another_set: a column that every other data set must have: if one of `channels` is missing and this one is
            not, all columns are read. None: a missing channel is an error.
    """

    noun: str
    channels: tuple[str, ...]
    others: bool
    advice: str
    of_another_set: str | None = None

    @classmethod
    def for_training(cls, window: WindowParams) -> "Wanted":
        """The target and, for `M` and `MS`, every other column."""
        advice = "set window.target, for example --params window.target={near}"
        return cls("target channel", (window.target,), window.features != "S", advice)

    @classmethod
    def for_forecast(cls, channels: Sequence[str]) -> "Wanted":
        """Only the channels that a trained model forecasts."""
        return cls("channel", tuple(channels), False, GIVE_CHANNELS)

    @classmethod
    def for_scoring(cls, channels: Sequence[str], target: str) -> "Wanted":
        """The channels that a model was trained on; all columns of another data set (zero-shot)."""
        return cls("channel", tuple(channels), False, GIVE_CHANNELS, of_another_set=target)


def validate_series(table: pd.DataFrame, source: Source, data: DataParams, wanted: Wanted) -> Panel:
    """Validated panel of a wide table: one evenly spaced float64 series per channel, in original units.

    If `data.gaps` is not `error`, missing rows and values are filled in. Unsorted rows are sorted with a warning.

    Args:
        table: the file as read: one column with time stamps and one column per channel.
        source: file or table, for messages and for the panel.
        wanted: columns that become series.

    Raises:
        SeriesError: for a missing date column or channel, for invalid, repeated or missing time stamps, and for values
            that are not finite numbers. The message contains file, row and column.
    """
    file = source.path
    if not len(table.columns):
        raise SeriesError("the file has no columns", where=file, do="give a date column and one column per channel")
    if table.empty:
        raise SeriesError("the file has no rows", where=file, do="give a CSV with a header and one row per time stamp")
    table = table.set_axis(clean_names([str(name) for name in text_names(table.columns, file)], file), axis=1)
    if data.date_column not in table.columns:
        raise SeriesError(
            f"there is no column `{data.date_column}`; the columns are {list_names(list(table.columns))}",
            where=f"{file}, header",
            do="set data.date_column to the column with the time stamps",
        )
    parsed = parse_dates(table[data.date_column], data, file)
    present = [name for name in table.columns if name != data.date_column]
    names = _choose(present, wanted, file)
    values = _numbers(table[names], data, file, may_be_missing=data.gaps != "error")
    rows = pd.DataFrame(values).set_index(pd.DatetimeIndex(parsed.stamps), append=True)
    rows = _in_order(rows, parsed.zone, data, file)
    numbered = pd.Series(rows.index.get_level_values(1), index=rows.index.get_level_values(0))
    frequency = find_frequency(numbered, data, file)
    columns, filled = rows.droplevel(0), NO_SPANS
    if data.gaps != "error":
        columns, filled = fill_gaps(columns, frequency, data.gaps, file)
    panel = Panel.from_columns(
        {name: columns[name].to_numpy() for name in names},
        start=columns.index[0],
        frequency=frequency,
        zone=parsed.zone,
        filled=filled,
        drop_filled=data.gaps == "drop_windows",
        source=source,
    )
    stamps = pd.DatetimeIndex(numbered)
    on_grid = stamps.isin(panel.stamps)
    if not on_grid.all():  # its values would be lost, or get another time stamp
        raise SeriesError(
            f"{stamps[~on_grid][0]} is not on the grid of {frequency} steps from {panel.start}",
            where=file,
            do="correct the time stamps so that they are evenly spaced",
        )
    _report_constant(panel)
    ahead = future_by(panel)
    if ahead is not None:
        log.warning("%s: the newest row, %s, is %s in the future", file, panel.stamps[-1], ahead)
    return panel


def _choose(present: list[str], wanted: Wanted, file: str) -> list[str]:
    """Names of the columns that become series, in the order of the file, or of `wanted.channels` if only they do."""
    missing = [name for name in wanted.channels if name not in present]
    if missing and wanted.of_another_set in present:
        log.warning("%s: it is another data set: it has no channel %s", file, list_names(missing))
        return present
    if missing:
        near = difflib.get_close_matches(missing[0], present, n=1) or present[-1:] or ["NAME"]
        raise SeriesError(
            f"the {wanted.noun}{'s' if len(missing) > 1 else ''} {list_names(missing)} "
            f"{'are' if len(missing) > 1 else 'is'} not in the file; "
            f"its channels are {list_names(present) or 'none'}",
            where=f"{file}, header",
            do=wanted.advice.format(near=shown(near[0])),
        )
    if wanted.others:
        return present
    ignored = [name for name in present if name not in wanted.channels]
    if ignored:
        log.info("%s: ignoring columns that are not needed: %s", file, list_names(ignored))
    return list(wanted.channels)


def _in_order(rows: pd.DataFrame, zone: str | None, data: DataParams, file: str) -> pd.DataFrame:
    """Rows sorted by time. The index levels are the row number in the file and the time stamp.

    Raises SeriesError for a repeated time stamp.
    """
    dates = pd.Series(rows.index.get_level_values(1))
    repeated = dates.duplicated()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        first = int(np.flatnonzero(dates == dates.iloc[row])[0])
        raise SeriesError(
            f"the time stamp {dates.iloc[row]} is repeated, first in line {line_of(first, data.csv)}; "
            f"there are {int(repeated.sum())} such rows",
            where=f"{file}, line {line_of(row, data.csv)}",
            do=REPEATED_HOUR if zone is None and repeated_hour(rows, dates) else "remove the duplicate rows",
        )
    if dates.is_monotonic_increasing:
        return rows
    backwards = int(np.flatnonzero(dates.diff() < pd.Timedelta(0))[0])
    log.warning(
        "%s: rows are not sorted by time (for example line %s); sorting them", file, line_of(backwards, data.csv)
    )
    return rows.iloc[np.argsort(dates.to_numpy(), kind="stable")]


def _numbers(table: pd.DataFrame, data: DataParams, file: str, may_be_missing: bool) -> dict[str, np.ndarray]:
    """Each channel as float64. Raises SeriesError that lists the problems of the channels."""
    values, problems = {}, []
    for name in table.columns:
        column = table[name]
        kind = _not_numbers(column)
        if kind is not None:
            fact = f"channel `{shown(name)}` contains {kind}, not real numbers"
            problems.append((fact, f"column `{shown(name)}`", "write real numbers, or remove the column"))
            continue
        if column.dtype == object:  # integers of hundreds of digits overflow float64
            column = column.map(lambda value: np.inf if isinstance(value, int) and abs(value) > 1e308 else value)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        missing = column.isna().to_numpy()
        bad = np.flatnonzero(~np.isfinite(numbers) & ~(missing & may_be_missing))
        if missing.all():
            problems.append((f"channel `{shown(name)}` has no values", f"column `{shown(name)}`", _REMOVE))
        elif bad.size:
            row = int(bad[0])
            found = column.iloc[row]
            fact = (
                f"a value of channel `{shown(name)}` is missing"
                if missing[row]
                else f"{found if isinstance(found, float) else _quoted(found)} is not a finite number"
            )
            position = f"line {line_of(row, data.csv)}, column `{shown(name)}` ({bad.size} such values in this column)"
            problems.append((fact, position, _advice(found, bool(missing[row]))))
        values[str(name)] = numbers
    if problems:
        more = (
            f"; and {len(problems) - 1} more channels, for example `{shown(table.columns[-1])}`"
            if len(problems) > 9
            else ""
        )
        listed = "; ".join(fact if n == 0 else f"{fact} ({spot})" for n, (fact, spot, _) in enumerate(problems[:5]))
        raise SeriesError(listed + more, where=f"{file}, {problems[0][1]}", do=problems[0][2])
    return values


def _not_numbers(column: pd.Series) -> str | None:
    """Kind of values that pandas would convert to numbers although they are not; None for numbers and text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.categories.to_series()
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        return "dates"
    if pd.api.types.is_timedelta64_dtype(column):
        return "durations"
    if pd.api.types.is_complex_dtype(column):
        return "complex numbers"
    if column.dtype == object:
        present = column[column.map(lambda value: value is not pd.NaT)]
        for kinds, name in KINDS:
            if present.map(lambda value, kinds=kinds: isinstance(value, kinds)).any():
                return name
    return None


def _quoted(found: object) -> str:
    return f"'{shown(found)}'" if isinstance(found, str) else shown(repr(found))


def _advice(found: object, missing: bool) -> str:
    text = str(found).strip()
    if missing:
        return "fill the value in, or set data.gaps to interpolate or drop_windows"
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text):
        return 'remove the thousands separators, or set data.csv to {thousands: ","}'
    if re.fullmatch(r"-?\d+,\d+", text):
        return 'write decimal points, or set data.csv to {decimal: ","}'
    return _REMOVE


def _report_constant(panel: Panel) -> None:
    named_values = [(name, panel.series(number)) for number, name in enumerate(panel.ids)]
    constant = [name for name, values in named_values if np.ptp(values) <= 1e-9 * np.abs(values).max()]
    if constant:
        log.warning("%s: these channels are constant or almost constant", list_names(constant))
