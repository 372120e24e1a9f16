"""Time stamps as text, numbers or dates become one column of time stamps without a zone; offsets are counted in UTC."""

import logging
import re
import warnings
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams

log = logging.getLogger(__name__)

WRITE = "write dates as 2016-07-01 00:00:00"
DAY_FIRST = "; if the day comes first, set data.csv={dayfirst: true}"
AM_PM, ZONE = r"[ap]\.?m\.?", r"(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
CLOCK = r"\d{1,2}:\d{1,2}(:\d{1,2}(\.\d*)?)?"
TIME_ALONE = re.compile(
    rf"\s*T?({CLOCK}\s*({AM_PM})?|\d{{1,2}}\s*{AM_PM}|\d{{1,2}}h\w{{0,6}})\s*{ZONE}?\s*", re.IGNORECASE
)
WITH_OFFSET = re.compile(rf".*\d[T ]\s*{CLOCK}\s*({AM_PM})?\s*{ZONE}\s*", re.IGNORECASE | re.DOTALL)
YEAR_FIRST = re.compile(r"\s*\d{4}")
TWO_WAYS = re.compile(r"\s*(\d{1,2})[/.-](\d{1,2})[/.-]\d{2,4}\b")
FIRST_YEAR = 1000  # pandas gives text without a year the year 1
NEAR_TODAY = pd.Timedelta(days=3)  # pandas gives a time without a day today's date
# What a number may stand for: written as digits, or by its size.
DIGITS = {
    "%Y%m%d": "YYYYMMDD",
    "%Y%m%d%H": "YYYYMMDDHH",
    "%Y%m%d%H%M": "YYYYMMDDHHMM",
    "%Y%m%d%H%M%S": "YYYYMMDDHHMMSS",
}
SIZES = (
    (1_700, 2_200, "years: write 2016-01-01"),
    (20_000, 80_000, "Excel's serial days: format the column as a date before saving"),
    (1e8, 1e10, "epoch seconds: pandas.to_datetime(column, unit='s')"),
    (1e11, 1e13, "epoch milliseconds: pandas.to_datetime(column, unit='ms')"),
    (1e14, 1e16, "epoch microseconds: pandas.to_datetime(column, unit='us')"),
    (1e17, 1e19, "epoch nanoseconds: pandas.to_datetime(column, unit='ns')"),
)


def parse_dates(column: pd.Series, data: DataParams, file: str) -> tuple[pd.Series, bool]:
    """The time stamps, and whether they carried a UTC offset (then they are in UTC).

    Raises SeriesError naming the first value that is not a date with a day and a year.
    """
    column = column.reset_index(drop=True)
    _refuse_numbers(column, file)
    is_text = not pd.api.types.is_datetime64_any_dtype(column)
    texts = column.astype(str).where(column.notna(), "") if is_text else None
    options = _options(texts, data)
    with warnings.catch_warnings():
        # pandas warns when it falls back to guessing each row's format; unparsable rows are reported below.
        warnings.simplefilter("ignore", UserWarning)
        try:
            dates = pd.to_datetime(column, errors="coerce", **options)
        except (ValueError, OverflowError) as error:
            if texts is None or not (texts.map(lambda text: bool(WITH_OFFSET.fullmatch(text))) | column.isna()).all():
                raise SeriesError(
                    f"some time stamps have another UTC offset than others, or none: {shown(error)}",
                    where=f"{file}, column `{shown(column.name)}`",
                    do="write all of them in UTC",
                ) from error
            dates = pd.to_datetime(column, errors="coerce", utc=True, **options)
            log.info("%s: time stamps have more than one UTC offset; they are converted to UTC", file)
    if texts is not None:  # pandas takes words such as `now` for time stamps
        dates = dates.where(texts.str.contains(r"\d", regex=True))
    in_utc = dates.dt.tz is not None
    if in_utc:  # everything after this counts in UTC
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    _refuse_incomplete(column, texts, dates, file, options.get("format"))
    if texts is not None and "format" not in options and "dayfirst" not in data.csv:
        _report_ambiguous(texts, dates, file)
    return dates.rename("date"), in_utc


def repeated_hour(series: pd.DataFrame) -> bool:
    """Whether repeated time stamps look like the hour that a clock change repeats.

    Each stamp comes exactly twice with different values; together they fill half an hour, one or two hours, after
    which time continues; several such stretches are months apart.
    """
    dates = series["date"]
    repeated = dates[dates.duplicated(keep=False)]
    if series.duplicated().any() or not (repeated.value_counts() == 2).all():
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


def _options(texts: pd.Series | None, data: DataParams) -> dict[str, Any]:
    """Options of pandas.to_datetime that `data.csv` sets.

    With `dayfirst` pandas would read 2020-03-05 as 3 May: text that begins with the year is read without it.
    """
    options: dict[str, Any] = {}
    if data.csv.get("date_format") is not None:
        options["format"] = data.csv["date_format"]
    elif data.csv.get("dayfirst") and texts is not None and not YEAR_FIRST.match(texts.iloc[0]):
        options["dayfirst"] = True
    return options


def _refuse_incomplete(column: pd.Series, texts: pd.Series | None, dates: pd.Series, file: str, form: object) -> None:
    """Raises SeriesError for the first row that is not a date, or that has a time but no day, or no year."""
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
        fact = "has a time but no day: it would be read as a time of today"
    elif pd.notna(dates.iloc[row]):
        fact = f"has no year: it would be read as {dates.iloc[row]}"
        do += ", or set data.csv={date_format: ...}, such as '%b-%y' for Jan-20"
    else:
        fact = "is not a time stamp" + (f" of the format {form}" if form else "")
        found = TWO_WAYS.match(text)
        if found and int(found[1]) > 12 and not form:
            do += DAY_FIRST
    quoted = f"'{shown(cell)}'" if isinstance(cell, str) else shown(cell)
    raise SeriesError(f"{quoted} {fact}", where=_place(column, row, file), do=do)


def _report_ambiguous(texts: pd.Series, dates: pd.Series, file: str) -> None:
    """Warn where day and month may be swapped: 05/03/2020, and no row shows which is which."""
    if not TWO_WAYS.match(texts.iloc[0]):
        return
    days = texts.str.strip().str.slice(0, 10).drop_duplicates()  # a day has up to 1,440 rows
    found = days.str.extract(TWO_WAYS)
    if found.isna().any(axis=None):
        return
    one, other = (found[number].astype(int) for number in (0, 1))
    swapped = np.flatnonzero((one != other).to_numpy())
    if (one <= 12).all() and (other <= 12).all() and swapped.size:
        row = found.index[int(swapped[0])]
        log.warning("%s: %s is read as %s, month first%s", file, shown(texts[row]), dates[row].date(), DAY_FIRST)


def _refuse_numbers(column: pd.Series, file: str) -> None:
    """Raises SeriesError for a number: pandas would count nanoseconds since 1970 from it."""
    if pd.api.types.is_numeric_dtype(column):
        found = column.notna().to_numpy()
    elif column.dtype == object:
        found = column.map(lambda value: isinstance(value, Number)).to_numpy(dtype=bool) & column.notna().to_numpy()
    else:
        return
    if not found.any():
        if column.isna().all():
            raise SeriesError(
                "the column has no time stamp at all", where=f"{file}, column `{shown(column.name)}`", do=WRITE
            )
        return
    row = int(np.flatnonzero(found)[0])
    value = column.iloc[row]
    meaning = _meaning(value)
    text = f"{value:.15g}" if isinstance(value, float) else str(value)
    raise SeriesError(
        f"{text} is a number, not a time stamp",
        where=_place(column, row, file),
        do=WRITE + (f"; these numbers look like {meaning}" if meaning else ""),
    )


def _meaning(value: Any) -> str | None:
    """What a number may stand for, and what to do about it."""
    if isinstance(value, bool | np.bool_ | complex | np.complexfloating):
        return None
    size = abs(float(value))
    digits = f"{size:.0f}"
    for form, name in DIGITS.items():
        stamp = pd.to_datetime(digits, format=form, errors="coerce") if len(digits) == len(name) else pd.NaT
        if pd.notna(stamp) and 1900 <= stamp.year < 2100:
            return f"{name}: write {stamp}"
    return next((words for low, high, words in SIZES if low <= size <= high), None)


def _place(column: pd.Series, row: int, file: str) -> str:
    return f"{file}, line {row + 2}, column `{shown(column.name)}`"  # counted from 1, the header first
