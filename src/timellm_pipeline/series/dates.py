"""Parse time stamps (text, numbers or datetimes) into one column of naive time stamps and the time zone of the file.

`date_texts.py` detects text formats, `date_numbers.py` detects numeric encodings, `time_zone.py` defines zones.
"""

import logging
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.date_numbers import (
    digits_for,
    find_kind,
    first_of_another_kind,
    is_number,
    meaning,
    to_integers,
)
from timellm_pipeline.series.date_texts import find_reading, report_ambiguous
from timellm_pipeline.series.lines import line_of
from timellm_pipeline.series.time_zone import split_zone

log = logging.getLogger(__name__)

WRITE = "write dates as 2016-07-01 00:00:00"
AM_PM, ZONE = r"[ap]\.?m\.?", r"(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
CLOCK = r"\d{1,2}:\d{1,2}(:\d{1,2}(\.\d*)?)?"
TIME_ALONE = re.compile(
    rf"\s*T?({CLOCK}\s*({AM_PM})?|\d{{1,2}}\s*{AM_PM}|\d{{1,2}}h\w{{0,6}})\s*{ZONE}?\s*", re.IGNORECASE
)
WITH_OFFSET = re.compile(rf".*\d[T ]\s*{CLOCK}\s*({AM_PM})?\s*{ZONE}\s*", re.IGNORECASE | re.DOTALL)
WITH_OFFSET_FORMAT = re.compile(r"%z", re.IGNORECASE)
FIRST_YEAR = 1000  # pandas parses text without a year as year 1
NEAR_TODAY = pd.Timedelta(days=3)  # pandas parses a time without a day as a time of today


@dataclass(frozen=True)
class ParsedDates:
    """Time stamps of a file, in file order."""

    stamps: pd.Series
    """Naive datetime64 named `date`, rows numbered from 0."""

    zone: str | None
    """None if the file has no offset; `+02:00` if every row has this offset and the time stamps are wall time;
    `UTC`, or a name such as `Europe/Berlin`, if the time stamps are in UTC. See `time_zone.py`."""


def parse_dates(column: pd.Series, data: DataParams, file: str) -> ParsedDates:
    """Time stamps of a column of text, numbers, datetime64 or periods, and their zone.

    Detected formats (order of day and month, ISO weeks, numbers, several offsets) are logged.

    Raises SeriesError with the first value that is not a date with a day and a year.
    """
    column = _plain(column.reset_index(drop=True))
    if column.isna().all():
        raise SeriesError("the column has no time stamps", where=f"{file}, column `{shown(column.name)}`", do=WRITE)
    texts, form = None, data.csv.get("date_format")
    if is_number(column.dropna().iloc[0]):
        if form is None:
            return _parse_numbers(column, data, file)
        integers = to_integers(column)
        texts = column.astype(str).where(integers.isna(), digits_for(form, integers))
    elif not pd.api.types.is_datetime64_any_dtype(column):
        texts = column.astype(str)
    if texts is None:
        stamps, zone = split_zone(column)
        if zone is not None and not stamps.equals(column.dt.tz_localize(None)):
            log.info("%s: converting time stamps from the zone %s to UTC", file, column.dt.tz)
        _refuse_incomplete(column, None, stamps, data, file)
        return ParsedDates(stamps.rename("date"), zone)
    if column.hasnans:
        texts = texts.where(column.notna(), "")
    reading = find_reading(texts, data, file)
    dates = _to_datetime(reading.texts, texts, reading.options, column, file)
    dates = dates.where(texts.str.contains(r"\d", regex=True))  # pandas parses words such as `now`
    stamps, zone = split_zone(dates)
    _refuse_incomplete(column, texts, stamps, data, file)
    if reading.ambiguous:
        report_ambiguous(texts, stamps, file)
    return ParsedDates(stamps.rename("date"), zone)


def _plain(column: pd.Series) -> pd.Series:
    """Values of a categorical column, start of each period, or the column itself."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    return column.dt.to_timestamp() if isinstance(column.dtype, pd.PeriodDtype) else column


def _to_datetime(readable: pd.Series, texts: pd.Series, options: dict[str, Any], column: pd.Series, file: str) -> Any:
    """Result of pandas.to_datetime with NaT for invalid dates; in UTC if the rows have several offsets.

    Raises SeriesError if some rows have an offset and others have none.
    """
    with warnings.catch_warnings():
        # pandas warns when it infers the format of each row separately; invalid rows are reported later.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return pd.to_datetime(readable, errors="coerce", **options)
        except (ValueError, OverflowError) as error:
            has_offset = texts.map(lambda text: bool(WITH_OFFSET.fullmatch(text))) | column.isna()
            if not (has_offset.all() or WITH_OFFSET_FORMAT.search(str(options.get("format")))):
                raise SeriesError(
                    f"time stamps have different UTC offsets, or some have none: {shown(error)}",
                    where=f"{file}, column `{shown(column.name)}`",
                    do="write all of them in UTC",
                ) from error
            log.info("%s: time stamps have more than one UTC offset; converting them to UTC", file)
            return pd.to_datetime(readable, errors="coerce", utc=True, **options)


def _parse_numbers(column: pd.Series, data: DataParams, file: str) -> ParsedDates:
    """Dates of a column that starts with a number. Raises SeriesError if its numbers are not all of one kind."""
    integers = to_integers(column)
    found = find_kind(integers)
    if found is None:
        mismatch = first_of_another_kind(integers)
        row = int(np.flatnonzero(column.notna())[0]) if mismatch is None else mismatch[0]
        value = column.iloc[row]
        likely = meaning(value)
        previous = "" if mismatch is None else f" like those before it, which are {mismatch[1].name}"
        raise SeriesError(
            f"{f'{value:.15g}' if isinstance(value, float) else shown(value)} is a number, not a time stamp{previous}",
            where=_place(column, row, data, file),
            do=WRITE + (f"; these numbers look like {likely}" if likely else ""),
        )
    kind, dates = found
    _refuse_incomplete(column, None, dates, data, file)
    row = int(np.flatnonzero(integers.notna())[0])
    log.info(
        "%s: numbers such as %s are read as %s: %s%s",
        file,
        integers.iloc[row],
        kind.name,
        dates.iloc[row],
        f" {kind.zone}" if kind.zone else "",
    )
    return ParsedDates(dates.rename("date"), kind.zone)


def has_repeats(column: pd.Series) -> bool:
    """Whether a value occurs twice. Sorted text or time stamps need no hash table, which takes seconds and memory."""
    is_comparable = isinstance(column.dtype, pd.StringDtype) or pd.api.types.is_datetime64_any_dtype(column)
    if is_comparable and not column.hasnans:
        earlier, later = column.iloc[:-1].reset_index(drop=True), column.iloc[1:].reset_index(drop=True)
        if (earlier < later).all():
            return False
    return bool(column.duplicated().any())


def repeated_hour(columns: pd.DataFrame, dates: pd.Series) -> bool:
    """Whether repeated time stamps look like the repeated hour of a daylight saving time change.

    Each repeated time stamp occurs exactly twice with different values. Together they fill half an hour, one or two
    hours, and the next row follows directly. Several such ranges are more than 100 days apart.
    """
    repeated = dates[dates.duplicated(keep=False)]
    equal_rows = columns.reset_index(drop=True).assign(**{"time stamp": dates}).duplicated()
    if equal_rows.any() or not (repeated.value_counts() == 2).all():
        return False
    stamps = repeated.drop_duplicates().sort_values()
    in_order = dates.drop_duplicates().sort_values()
    step = in_order.diff().mode().iloc[0]
    number = (stamps.diff() > step).cumsum()
    first, last = stamps.groupby(number).min(), stamps.groupby(number).max()
    lengths = {pd.Timedelta(minutes=30), pd.Timedelta(hours=1), pd.Timedelta(hours=2)}
    filled = (last - first + step).isin(lengths) & (stamps.groupby(number).size() == (last - first) // step + 1)
    return bool(
        filled.all() and (last + step).isin(in_order).all() and (first.diff().iloc[1:] > pd.Timedelta(days=100)).all()
    )


def _refuse_incomplete(
    column: pd.Series, texts: pd.Series | None, dates: pd.Series, data: DataParams, file: str
) -> None:
    """Raise SeriesError for the first row that is not a date, that has a time but no day, or that has no year."""
    bad = dates.isna()
    if texts is not None:
        today = pd.Timestamp.now()
        near = dates.between(today - NEAR_TODAY, today + NEAR_TODAY)
        no_day = pd.Series(False, index=dates.index)
        no_day[bad | near] = texts[bad | near].map(lambda text: bool(TIME_ALONE.fullmatch(text)))
        bad |= no_day | (dates.dt.year < FIRST_YEAR)
    if not bad.any():
        return
    row = int(np.flatnonzero(bad)[0])
    cell, do = column.iloc[row], WRITE
    text = str(cell)
    if texts is not None and TIME_ALONE.fullmatch(text):
        fact = "has a time but no day: it would be parsed as a time of today"
    elif pd.notna(dates.iloc[row]):
        fact = f"has no year: it would be parsed as {dates.iloc[row]}"
        do += ", or set data.csv={date_format: ...}, such as '%b-%y' for Jan-20"
    else:
        form = data.csv.get("date_format")
        fact = "is not a time stamp" + (f" of the format {shown(form)}" if form and texts is not None else "")
    quoted = f"'{shown(cell)}'" if isinstance(cell, str) else shown(cell)
    raise SeriesError(f"{quoted} {fact}", where=_place(column, row, data, file), do=do)


def _place(column: pd.Series, row: int, data: DataParams, file: str) -> str:
    return f"{file}, line {line_of(row, data.csv)}, column `{shown(column.name)}`"
