"""Dates that are written as numbers: 20160701, or seconds since 1970.

A number is parsed as a date only if the whole column has one plausible kind; pandas would parse every number as
nanoseconds since 1970. Ambiguous kinds (years, Excel's serial days) are rejected with a message that names the likely
kind.
"""

import re
from decimal import Decimal
from numbers import Number
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from timellm_pipeline.series.time_zone import UTC

INTEGER = re.compile(r"\s*[+-]?\d+(\.0*)?\s*")
MOST_SIZE = 10**20  # largest number that is compared as a float
MOST = 10**18  # largest integer that is parsed: fits int64; nanoseconds of later years are rejected anyway
FIRST_YEAR, END_YEAR = 1900, 2100
EPOCH_END = 4_102_444_800  # 2100-01-01 in seconds since 1970
EPOCH_START = 10**8  # March 1973: a column that ends earlier is more likely a counter
LONGEST_GAP = 10**8  # seconds: an earlier time stamp is plausible if the column has no gap longer than this


class NumberKind(NamedTuple):
    """An encoding of dates as numbers: digits in a date format, or a count of seconds or milliseconds since 1970."""

    name: str
    form: str | None = None
    unit: Literal["s", "ms"] | None = None
    per_second: int = 1

    @property
    def zone(self) -> str | None:
        """Zone of the time stamps: UTC for counts since 1970, None for digits."""
        return UTC if self.unit else None

    def read(self, numbers: pd.Series) -> pd.Series:
        """Dates of integers; NaT for a number that is not of this kind."""
        if self.unit is not None:
            seconds = numbers / self.per_second
            plausible = (seconds >= EPOCH_START) & (seconds < EPOCH_END)
            return pd.to_datetime(numbers.where(plausible), unit=self.unit)
        texts = numbers.astype(str)
        dates = pd.to_datetime(texts.where(texts.str.len() == len(self.name)), format=self.form, errors="coerce")
        return dates.where((dates.dt.year >= FIRST_YEAR) & (dates.dt.year < END_YEAR))

    def read_all(self, numbers: pd.Series) -> pd.Series | None:
        """Dates of a column of integers, or None if not all of them are of this kind."""
        dates = self.read(numbers)
        if self.unit is not None and dates.isna().any() and dates.notna().any():
            seconds = (numbers / self.per_second).sort_values()
            if seconds.iloc[0] >= 0 and seconds.iloc[-1] < EPOCH_END and (seconds.diff().dropna() <= LONGEST_GAP).all():
                return pd.to_datetime(numbers, unit=self.unit)
        return None if dates.isna().any() else dates


KINDS = (
    NumberKind("YYYYMMDD", form="%Y%m%d"),
    NumberKind("YYYYMMDDHH", form="%Y%m%d%H"),
    NumberKind("YYYYMMDDHHMM", form="%Y%m%d%H%M"),
    NumberKind("YYYYMMDDHHMMSS", form="%Y%m%d%H%M%S"),
    NumberKind("epoch seconds", unit="s"),
    NumberKind("epoch milliseconds", unit="ms", per_second=1_000),
)
# Likely meaning of a number by its size, if no kind matches the column.
SIZES = (
    (1_700, 2_200, "years: write 2016-01-01"),
    (20_000, 80_000, "Excel's serial days: format the column as a date before saving"),
    (1e8, 1e10, "epoch seconds: pandas.to_datetime(column, unit='s')"),
    (1e11, 1e13, "epoch milliseconds: pandas.to_datetime(column, unit='ms')"),
    (1e14, 1e16, "epoch microseconds: pandas.to_datetime(column, unit='us')"),
    (1e17, 1e19, "epoch nanoseconds: pandas.to_datetime(column, unit='ns')"),
)
WIDTHS = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2, "%y": 2, "%j": 3}


def is_number(value: Any) -> bool:
    """Whether a cell is a number, or text that is an integer."""
    return isinstance(value, Number | np.bool_) or (isinstance(value, str) and INTEGER.fullmatch(value) is not None)


def to_integers(column: pd.Series) -> pd.Series:
    """Integers of a column as Int64; missing if the cell is missing, not an integer, or too large."""
    if pd.api.types.is_integer_dtype(column):
        numbers = column.where(column.abs() < MOST)
        return numbers.astype("Int64")
    return column.map(_integer).astype("Int64")


def _integer(value: Any) -> Any:
    if isinstance(value, str) and INTEGER.fullmatch(value):
        value = Decimal(value.strip())
    elif isinstance(value, bool | np.bool_ | complex | np.complexfloating) or not isinstance(value, Number):
        return pd.NA
    if pd.isna(value) or not abs(value) < MOST or value != int(value):
        return pd.NA
    return int(value)


def find_kind(numbers: pd.Series) -> tuple[NumberKind, pd.Series] | None:
    """The kind that matches all integers of a column, and their dates by row; None if no kind matches."""
    present = numbers.dropna()
    if present.empty:
        return None
    for kind in KINDS:
        dates = kind.read_all(present)
        if dates is not None:
            return kind, dates.reindex(numbers.index)
    return None


def first_of_another_kind(numbers: pd.Series) -> tuple[int, NumberKind] | None:
    """Row of the first integer that is not of the kind of the first integer, and that kind; None if there is none."""
    present = numbers.dropna()
    for kind in KINDS:
        dates = kind.read(present)
        if len(dates) and pd.notna(dates.iloc[0]) and dates.isna().any():
            return int(dates.index[np.flatnonzero(dates.isna())[0]]), kind
    return None


def digits_for(form: str, numbers: pd.Series) -> pd.Series:
    """Integers as text for a date format, with the leading zeros that numbers lose: 5012026 becomes 05012026.

    The width is known only for formats without separators.
    """
    parts = re.findall(r"%.|.", form)
    width = sum(WIDTHS[part] for part in parts) if all(part in WIDTHS for part in parts) else 0
    return numbers.astype(str).str.zfill(width)


def meaning(value: Any) -> str | None:
    """Likely date encoding of a number and how to convert it; None if the number does not look like a date."""
    if isinstance(value, str):
        value = Decimal(value.strip())
    if isinstance(value, bool | np.bool_ | complex | np.complexfloating) or not abs(value) < MOST_SIZE:
        return None
    size = abs(float(value))
    digits = f"{size:.0f}"
    for kind in KINDS:
        if kind.form is not None and len(digits) == len(kind.name):
            stamp = pd.to_datetime(digits, format=kind.form, errors="coerce")
            if pd.notna(stamp) and FIRST_YEAR <= stamp.year < END_YEAR:
                return f"{kind.name}: write {stamp}"
    return next((text for low, high, text in SIZES if low <= size <= high), None)
