"""Time stamps as text, numbers or dates become one column of time stamps without a zone; offsets are counted in UTC."""

import logging
import re
import warnings

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams

log = logging.getLogger(__name__)

WRITE = "write dates as 2016-07-01 00:00:00"
TIME_ALONE = re.compile(r"\s*\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([ap]\.?m\.?)?\s*", re.IGNORECASE)
TWO_WAYS = re.compile(r"\s*(\d{1,2})[/.-](\d{1,2})[/.-]\d{2,4}\b")
# What a number may stand for, by its size, and how it becomes a date.
NUMBERS = (
    (1_700, 2_200, "years: write 2016-01-01"),
    (20_000, 80_000, "Excel's serial days: format the column as a date before saving"),
    (17_000_000, 22_000_000, "YYYYMMDD: write 2016-07-01"),
    (1e8, 1e10, "epoch seconds: pandas.to_datetime(column, unit='s')"),
    (1e11, 1e13, "epoch milliseconds: pandas.to_datetime(column, unit='ms')"),
    (1e17, 1e19, "epoch nanoseconds: pandas.to_datetime(column)"),
)


def parse_dates(column: pd.Series, data: DataParams, file: str) -> tuple[pd.Series, bool]:
    """The time stamps, and whether they carried a UTC offset (then they are in UTC).

    Raises SeriesError naming the first value that is not a date with a day.
    """
    where = f"{file}, column `{shown(column.name)}`"
    if pd.api.types.is_numeric_dtype(column):
        raise _number(column, f"{file}, line 2, column `{shown(column.name)}`")
    is_text = not pd.api.types.is_datetime64_any_dtype(column)
    texts = column.astype(str) if is_text else None
    if texts is not None:
        _refuse_times_without_a_day(texts, file)
    form, dayfirst = data.csv.get("date_format"), bool(data.csv.get("dayfirst", False))
    with warnings.catch_warnings():
        # pandas warns when it falls back to guessing each row's format; unparsable rows are reported below.
        warnings.simplefilter("ignore", UserWarning)
        try:
            dates = pd.to_datetime(column, errors="coerce", format=form, dayfirst=dayfirst)
        except (ValueError, OverflowError) as error:
            raise SeriesError(
                f"the time stamps have more than one UTC offset: {shown(error)}",
                where=where,
                do="write all of them in UTC",
            ) from error
    if texts is not None:  # pandas takes words such as `now` for time stamps
        dates = dates.where(texts.str.contains(r"\d", regex=True))
    in_utc = dates.dt.tz is not None
    if in_utc:  # everything after this counts in UTC
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    if dates.isna().any():
        row = int(np.flatnonzero(dates.isna())[0])
        raise SeriesError(
            f"{_shown_cell(column.iloc[row])} is not a time stamp" + (f" of the form {form}" if form else ""),
            where=f"{file}, line {row + 2}, column `{shown(column.name)}`",
            do=WRITE,
        )
    if texts is not None and form is None and "dayfirst" not in data.csv:
        _report_ambiguous(texts, dates, file)
    return dates.rename("date"), in_utc


def repeated_hour(dates: pd.Series) -> bool:
    """Whether repeated time stamps look like the hour that a clock change repeats.

    Each stamp stands exactly twice, and those that do lie within two hours of each other, or in several such stretches
    months apart.
    """
    repeated = dates[dates.duplicated(keep=False)]
    if not (repeated.value_counts() == 2).all() or len(repeated) > len(dates) / 10:
        return False
    stamps = repeated.drop_duplicates().sort_values()
    steps = stamps.diff().iloc[1:]
    return bool(((steps <= pd.Timedelta(hours=2)) | (steps >= pd.Timedelta(days=100))).all()) and bool(
        (stamps.max() - stamps.min() < pd.Timedelta(hours=2)) or (steps >= pd.Timedelta(days=100)).any()
    )


def _refuse_times_without_a_day(texts: pd.Series, file: str) -> None:
    found = np.flatnonzero(texts.str.fullmatch(TIME_ALONE).to_numpy(dtype=bool))
    if found.size:
        row = int(found[0])
        raise SeriesError(
            f"'{shown(texts.iloc[row])}' has a time but no day: it would be read as a time of today",
            where=f"{file}, line {row + 2}, column `{shown(texts.name)}`",
            do=WRITE,
        )


def _report_ambiguous(texts: pd.Series, dates: pd.Series, file: str) -> None:
    """Warn where day and month may be swapped: 05/03/2020, and no row shows which is which."""
    found = texts.str.extract(TWO_WAYS)
    if found.isna().any(axis=None):
        return
    one, other = (found[number].astype(int) for number in (0, 1))
    swapped = np.flatnonzero((one != other).to_numpy())
    if (one <= 12).all() and (other <= 12).all() and swapped.size:
        row = int(swapped[0])
        log.warning(
            "%s: %s is read as %s, month first; if the day comes first, set data.csv={dayfirst: true}",
            file,
            shown(texts.iloc[row]),
            dates.iloc[row].date(),
        )


def _shown_cell(cell: object) -> str:
    return f"'{shown(cell)}'" if isinstance(cell, str) else shown(cell)


def _number(column: pd.Series, where: str) -> SeriesError:
    value = column.dropna().iloc[0] if column.notna().any() else float("nan")
    text = f"{value:g}" if isinstance(value, float | np.floating) and value != int(value or 0) else str(value)
    meaning = next((words for low, high, words in NUMBERS if low <= abs(value) <= high), None)
    return SeriesError(
        f"{text} is a number, not a time stamp",
        where=where,
        do=WRITE + (f"; these numbers look like {meaning}" if meaning else ""),
    )
