"""Detection of date formats in text if `data.csv` does not set one: ISO weeks, and the order of day and month.

The order of day and month is inferred from the whole column. pandas infers it from the first row: it parses 13/02/2020
with the day first regardless of `dayfirst`, and fails on a column that starts with 01/02/2020 at the first day 13.
"""

import logging
import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.lines import line_of

log = logging.getLogger(__name__)

DAY_FIRST = "; if the day comes first, set data.csv={dayfirst: true}"
YEAR_FIRST = re.compile(r"\s*\d{4}")
DAY_AND_MONTH = re.compile(r"\s*(\d{1,2})[/.-](\d{1,2})[/.-](\d{2,4})\b")
ISO_WEEK = re.compile(r"\s*(\d{4})-?W(\d{2})(?:-?(\d))?\s*", re.IGNORECASE)
WEEK_FORMAT = "%G-W%V-%u"


class TextReading(NamedTuple):
    """Text and options for pandas.to_datetime."""

    texts: pd.Series
    options: dict[str, Any]
    ambiguous: bool = False
    """Whether day and month could be swapped in every row."""


def find_reading(texts: pd.Series, data: DataParams, file: str) -> TextReading:
    """Text and options with which pandas parses a column of text. Detected formats are logged.

    Args:
        texts: one text per row, empty if the cell is missing; rows are numbered from 0.

    Raises SeriesError if some rows have the day first and others the month, or if the order contradicts `dayfirst`.
    """
    if data.csv.get("date_format") is not None:
        return TextReading(texts, {"format": data.csv["date_format"]})
    first = str(next((text for text in texts if text.strip()), ""))
    if ISO_WEEK.fullmatch(first):
        return _iso_weeks(texts, first, file)
    if not DAY_AND_MONTH.match(first[:10]):
        # With `dayfirst`, pandas would parse 2020-03-05 as 3 May.
        day_first = bool(data.csv.get("dayfirst")) and not YEAR_FIRST.match(first)
        return TextReading(texts, {"dayfirst": True} if day_first else {})
    return _day_and_month(texts, data, file)


def report_ambiguous(texts: pd.Series, dates: pd.Series, file: str) -> None:
    """Log a warning that day and month may be swapped, with the first row in which they differ."""
    found = _fields(texts)
    swapped = found.index[(found["first"] != found["second"]).to_numpy()]
    if len(swapped):
        row = swapped[0]
        log.warning("%s: %s is read as %s, month first%s", file, shown(texts[row]), dates[row].date(), DAY_FIRST)


def _iso_weeks(texts: pd.Series, first: str, file: str) -> TextReading:
    """ISO weeks as text in one format. Rows are empty if only one of them and the first row has a weekday."""
    parts = texts.str.extract(f"^{ISO_WEEK.pattern}$", flags=re.IGNORECASE)
    found = ISO_WEEK.fullmatch(first)
    has_day = found is not None and found[3] is not None
    weeks = parts[0] + "-W" + parts[1] + "-" + parts[2].fillna("1")
    day = "" if has_day else ", as the Monday of the week"
    log.info("%s: dates such as %s are read as ISO weeks%s", file, shown(first), day)
    return TextReading(weeks.where(parts[2].notna() == has_day).fillna(""), {"format": WEEK_FORMAT})


def _day_and_month(texts: pd.Series, data: DataParams, file: str) -> TextReading:
    found = _fields(texts)
    wanted = data.csv.get("dayfirst")
    day_rows = found.index[(found["first"] > 12).to_numpy()]
    month_rows = found.index[(found["second"] > 12).to_numpy()]
    wrong = month_rows if wanted else day_rows
    if wanted is not None and len(wrong):
        order = "day" if wanted else "month"
        raise SeriesError(
            f"'{shown(texts[wrong[0]])}' does not have the {order} first, as data.csv={{dayfirst: "
            f"{str(wanted).lower()}}} requires",
            where=_where(texts, int(wrong[0]), data, file),
            do=f"set data.csv={{dayfirst: {str(not wanted).lower()}}}, or write all dates as 2016-07-01 00:00:00",
        )
    if wanted is None and len(day_rows) and len(month_rows):
        row, before = sorted((int(day_rows[0]), int(month_rows[0])), reverse=True)
        orders = ("day", "month") if row == day_rows[0] else ("month", "day")
        raise SeriesError(
            f"'{shown(texts[row])}' has the {orders[0]} first, and '{shown(texts[before])}' in line "
            f"{line_of(before, data.csv)} has the {orders[1]} first",
            where=_where(texts, row, data, file),
            do="write all dates as 2016-07-01 00:00:00",
        )
    if wanted is not None or not len(day_rows):
        ambiguous = wanted is None and not len(month_rows) and len(found) > 0 and not found.isna().any(axis=None)
        return TextReading(texts, {"dayfirst": True} if wanted else {}, ambiguous)
    example = shown(texts[day_rows[0]])
    # 20-03-05, 20-03-06, ...: if the first number varies less than the last one, it may be the year.
    if found["year"].between(1, 31).all() and found["first"].nunique() <= found["year"].nunique() and len(found) > 1:
        log.warning(
            "%s: dates such as %s are read with the day first and the year last; if the year comes first, set "
            "data.csv={date_format: '%%y-%%m-%%d'}",
            file,
            example,
        )
    else:
        log.info("%s: dates such as %s are read with the day first", file, example)
    return TextReading(texts, {"dayfirst": True})


def _fields(texts: pd.Series) -> pd.DataFrame:
    """First number, second number and year of each distinct day; missing if the text has another format."""
    days = texts.str.strip().str.slice(0, 10).drop_duplicates()  # a day has up to 1,440 rows
    found = days.str.extract(DAY_AND_MONTH).astype("Float64").astype(np.float64)
    return found.set_axis(["first", "second", "year"], axis=1)


def _where(texts: pd.Series, row: int, data: DataParams, file: str) -> str:
    return f"{file}, line {line_of(row, data.csv)}, column `{shown(texts.name)}`"
