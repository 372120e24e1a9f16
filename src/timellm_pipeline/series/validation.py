"""Validation of a raw table, wide or long: dates must be valid and evenly spaced, values numeric and complete."""

import difflib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series.clock import future_by
from timellm_pipeline.series.dates import has_repeats, parse_dates, repeated_hour
from timellm_pipeline.series.frequency import find_frequency
from timellm_pipeline.series.gaps import fill_gaps
from timellm_pipeline.series.joined import join_panels
from timellm_pipeline.series.known import report_future
from timellm_pipeline.series.known_rows import known_of_wide, refuse_absent
from timellm_pipeline.series.lines import line_of
from timellm_pipeline.series.long_panel import panel_of_rows
from timellm_pipeline.series.long_parquet import LongParquet
from timellm_pipeline.series.long_table import find_columns, rows_of_table
from timellm_pipeline.series.names import clean_names, list_names, text_names
from timellm_pipeline.series.numbers import to_numbers
from timellm_pipeline.series.panel import NO_SPANS, Panel, Source
from timellm_pipeline.series.reading import RawFile

log = logging.getLogger(__name__)

GIVE_CHANNELS = "give a table with the channels that the model was trained on"
REPEATED_HOUR = (
    "this looks like the repeated hour of a daylight saving time change: write time stamps in UTC or with their UTC "
    "offset, and do not delete rows"
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
        in_wide: whether `channels` are required of wide tables only.
        may_be_absent: whether a long table may lack some of `channels`: a store has closed.
    """

    noun: str
    channels: tuple[str, ...]
    others: bool
    advice: str
    of_another_set: str | None = None
    in_wide: bool = False
    may_be_absent: bool = False

    @classmethod
    def for_training(cls, window: WindowParams) -> "Wanted":
        """The target and, for `M` and `MS`, every other series. A long table with `M` needs no target."""
        advice = "set window.target, for example --params window.target={near}"
        in_wide = window.features == "M"
        return cls("target channel", (window.target,), window.features != "S", advice, in_wide=in_wide)

    @classmethod
    def for_forecast(cls, channels: Sequence[str]) -> "Wanted":
        """Only the channels that a trained model forecasts."""
        return cls("channel", tuple(channels), False, GIVE_CHANNELS, may_be_absent=True)

    @classmethod
    def for_scoring(cls, channels: Sequence[str], target: str) -> "Wanted":
        """The channels that a model was trained on; all columns of another data set (zero-shot)."""
        return cls("channel", tuple(channels), False, GIVE_CHANNELS, of_another_set=target, may_be_absent=True)


def validate_series(table: pd.DataFrame, source: Source, data: DataParams, wanted: Wanted) -> Panel:
    """Validated panel of a table: evenly spaced float64 series in original units.

    If `data.gaps` is not `error`, missing rows and values are filled in. Unsorted rows are sorted with a warning.

    Args:
        table: the file as read: one column with time stamps and one column per channel, or a long table.
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
    columns = find_columns(table, data, file)
    if columns is not None:
        source = replace(source, **columns.names_of_source())
        rows = rows_of_table(table, columns, data, file)
        return _chosen(panel_of_rows(rows, data, source, known=columns.known), wanted)
    return _reported(_of_wide(table, source, data, wanted))


def validate_parquet(long: LongParquet, raw: RawFile, data: DataParams, wanted: Wanted) -> Panel:
    """As `validate_series`, for long Parquet files, which are read in parts of complete series if they allow it."""
    columns = long.columns
    source = Source(raw.path, raw.sha256, long.total, **columns.names_of_source())
    frequency: str | None = None

    def panels() -> Iterator[Panel]:
        nonlocal frequency
        for rows in long.parts(data):
            panel = panel_of_rows(rows, data, source, frequency, columns.known)
            frequency = panel.frequency
            yield panel

    return _chosen(join_panels(panels(), raw.folder), wanted)


def _chosen(panel: Panel, wanted: Wanted) -> Panel:
    """The wanted series of a long table. The ids are known only now."""
    if wanted.in_wide:
        wanted = replace(wanted, channels=())
    elif wanted.may_be_absent:
        wanted = replace(wanted, channels=_present(panel, wanted.channels))
    return _reported(panel.select(_choose(list(panel.ids), wanted, panel.source.path)))


def _present(panel: Panel, channels: tuple[str, ...]) -> tuple[str, ...]:
    """The wanted series that a long table has; all of them if it has none, which is an error. Others are logged."""
    present = tuple(name for name in channels if name in panel.number_of)
    absent = [name for name in channels if name not in panel.number_of]
    if absent and present:
        log.warning("%s: it has no rows of %s series: %s", panel.source.path, f"{len(absent):,}", list_names(absent))
    return present or channels


def _reported(panel: Panel) -> Panel:
    """The panel, after a report of constant series and of rows in the future."""
    _report_constant(panel)
    ahead = future_by(panel)
    if ahead is not None:
        log.warning("%s: the newest row, %s, is %s in the future", panel.source.path, panel.stamps[-1], ahead)
    return panel


def _of_wide(table: pd.DataFrame, source: Source, data: DataParams, wanted: Wanted) -> Panel:
    """Panel of a wide table: one series per channel, all of the same length."""
    file = source.path
    if data.date_column not in table.columns:
        raise SeriesError(
            f"there is no column `{data.date_column}`; the columns are {list_names(list(table.columns))}",
            where=f"{file}, header",
            do="set data.date_column to the column with the time stamps",
        )
    if data.static_columns:
        raise SeriesError(
            f"this is a wide table, and {list_names(data.static_columns)} cannot describe its channels",
            where=file,
            do="remove data.static_columns, or give a long table",
        )
    refuse_absent(table, data.known_columns, "data.known_columns", file)
    parsed = parse_dates(table[data.date_column], data, file)
    present = [name for name in table.columns if name not in (data.date_column, *data.known_columns)]
    names = _choose(present, wanted, file)
    may_be_missing = data.gaps != "error" or bool(data.known_columns)
    values = to_numbers(table, names, data, file, may_be_missing=may_be_missing)
    rows = pd.DataFrame(values, copy=False)  # numbered from 0, as in the file
    rows, dates = _in_order(rows, parsed.stamps, parsed.zone, data, file)
    if data.known_columns:
        rows = _until_the_last_value(rows, data, file)
        dates = dates.iloc[: len(rows)]
    frequency = find_frequency(dates, data, file)
    columns, filled = rows.set_axis(pd.DatetimeIndex(dates), axis=0), NO_SPANS
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
    if data.known_columns:
        panel = replace(panel, known=known_of_wide(panel, table, parsed.stamps, data))
    stamps = pd.DatetimeIndex(dates)
    on_grid = np.ones(len(stamps), dtype=bool) if stamps.equals(panel.stamps) else stamps.isin(panel.stamps)
    if not on_grid.all():  # its values would be lost, or get another time stamp
        raise SeriesError(
            f"{stamps[~on_grid][0]} is not on the grid of {frequency} steps from {panel.start}",
            where=file,
            do="correct the time stamps so that they are evenly spaced",
        )
    return panel


def _until_the_last_value(rows: pd.DataFrame, data: DataParams, file: str) -> pd.DataFrame:
    """Rows, sorted by time, up to the last one with a value. Later rows contain what is known of the future.

    Raises SeriesError for a value that is missing before, unless `data.gaps` fills it.
    """
    count = int(np.flatnonzero(rows.notna().any(axis=1).to_numpy())[-1]) + 1
    report_future(len(rows) - count, count, file)
    rows = rows.iloc[:count]
    row, column = np.nonzero(rows.isna().to_numpy())
    if len(row) and data.gaps == "error":
        name, line = rows.columns[column[0]], line_of(int(rows.index[row[0]]), data.csv)
        raise SeriesError(
            f"a value of channel `{shown(name)}` is missing",
            where=f"{file}, line {line}, column `{shown(name)}` ({len(row)} missing values)",
            do="fill the value in, or set data.gaps to interpolate or drop_windows",
        )
    return rows


def _choose(present: list[str], wanted: Wanted, file: str) -> list[str]:
    """Names of the columns that become series, in the order of the file, or of `wanted.channels` if only they do."""
    known, needed = set(present), set(wanted.channels)
    missing = [name for name in wanted.channels if name not in known]
    if missing and wanted.of_another_set in known:
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
    ignored = [name for name in present if name not in needed]
    if ignored:
        log.info("%s: ignoring columns that are not needed: %s", file, list_names(ignored))
    return list(wanted.channels)


def _in_order(
    rows: pd.DataFrame, dates: pd.Series, zone: str | None, data: DataParams, file: str
) -> tuple[pd.DataFrame, pd.Series]:
    """Rows and their time stamps, sorted by time. The index of both is the row number in the file.

    Raises SeriesError for a repeated time stamp.
    """
    if has_repeats(dates):
        repeated = dates.duplicated()
        row = int(np.flatnonzero(repeated)[0])
        first = int(np.flatnonzero(dates == dates.iloc[row])[0])
        raise SeriesError(
            f"the time stamp {dates.iloc[row]} is repeated, first in line {line_of(first, data.csv)}; "
            f"there are {int(repeated.sum())} such rows",
            where=f"{file}, line {line_of(row, data.csv)}",
            do=REPEATED_HOUR if zone is None and repeated_hour(rows, dates) else "remove the duplicate rows",
        )
    if dates.is_monotonic_increasing:
        return rows, dates
    backwards = int(np.flatnonzero(dates.diff() < pd.Timedelta(0))[0])
    log.warning(
        "%s: rows are not sorted by time (for example line %s); sorting them", file, line_of(backwards, data.csv)
    )
    order = np.argsort(dates.to_numpy(), kind="stable")
    return rows.iloc[order], dates.iloc[order]


def _report_constant(panel: Panel) -> None:
    constant = []
    for some in panel.blocks():
        begin, end = panel.offsets[some[0]], panel.offsets[some[-1] + 1]
        values, starts = panel.values[begin:end], panel.offsets[some] - begin
        largest, smallest = np.maximum.reduceat(values, starts), np.minimum.reduceat(values, starts)
        size = np.maximum(np.abs(largest), np.abs(smallest))
        constant += [panel.ids[number] for number in some[largest - smallest <= 1e-9 * size]]
    if constant:
        log.warning("%s: these channels are constant or almost constant", list_names(constant))
