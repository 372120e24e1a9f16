"""Parameters of the raw file's format."""

import codecs
import csv
import inspect
import re
from collections.abc import Sequence
from typing import Any, Literal
from unicodedata import category

from pydantic import Field, field_validator, model_validator

from timellm_pipeline.parameters.group import Group

OURS = {
    *("filepath_or_buffer", "index_col", "skip_blank_lines", "low_memory", "chunksize", "iterator", "nrows"),
    *("compression", "storage_options", "memory_map", "delim_whitespace", "verbose"),
    "converters",  # functions, which a parameter file cannot contain
    "float_precision",  # without effect since pandas 3
}
OUR_DATES = {"parse_dates", "infer_datetime_format", "date_parser", "keep_date_col", "cache_dates"}
ONE_CHARACTER = ("decimal", "thousands", "quotechar", "escapechar", "comment", "lineterminator")
TEXTS = ("sep", "delimiter", "encoding", "encoding_errors", "date_format", "dialect", *ONE_CHARACTER)
ROWS = {"skiprows", "skipfooter", "header"}
MOST_SKIPPED = 1_000_000
CHOICES: dict[str, tuple[Any, ...]] = {
    "engine": ("c", "python"),  # other engines lack options that are needed here
    "on_bad_lines": ("error", "skip"),  # a warning of pandas is an error here
    "dtype_backend": ("numpy_nullable", "pyarrow"),
    "quoting": (0, 1, 2, 3),
    **dict.fromkeys(("dayfirst", "doublequote", "keep_default_na", "na_filter", "skipinitialspace"), (True, False)),
}
MAY_BE_NULL = (
    "sep",
    "delimiter",
    "dialect",
    "encoding",
    "date_format",
    "thousands",
    "escapechar",
    "comment",
    "lineterminator",
)
WITH_A_YEAR = re.compile(r"%[YyGcx]")
JOINERS = "\u200c\u200d"  # zero-width joiners: Persian, Indic scripts and emoji need them


class DataParams(Group):
    """`data`: the format of the raw file."""

    layout: Literal["auto", "wide", "long"] = "auto"
    """`wide`: one row per time stamp, one column per series; `long`: one row per series and time stamp; `auto`: long if
    the file has the columns `unique_id`, `ds` and `y`, or repeated time stamps beside a column of ids."""

    date_column: str = "date"
    """Name of the column with the time stamps."""

    id_columns: list[str] = Field(default_factory=list)
    """Long tables: columns that identify a series; empty: found by `auto`."""

    value_column: str | None = None
    """Long tables: column with the values; null: the only other column of numbers."""

    static_columns: list[str] = Field(default_factory=list)
    """Long tables: columns that describe a series, such as its region; equal in all rows of a series. The prompt of a
    window can contain them (`prompt.series_facts`)."""

    known_columns: list[str] = Field(default_factory=list)
    """Columns of numbers that are known for the horizon too, such as a price, a promotion or a holiday. Rows after the
    last value contain those of the future: their value is empty."""

    gaps: Literal["error", "interpolate", "drop_windows"] = "error"
    """How to handle missing time stamps and empty cells: `error` stops and names the first one; `interpolate`
    fills them by linear interpolation in time; `drop_windows` drops every window that contains one."""

    max_gigabytes: float = Field(default=2.0, gt=0)
    """Largest table that is read from a compressed file, in GB (10**9 bytes): the decompressed bytes of a gzip file, or
    rows x columns x 8 bytes of a Parquet file, or 20 bytes a row of a long one. A long Parquet file that is sorted by
    series has no limit: it is read in parts."""

    csv: dict[str, Any] = Field(default_factory=dict)
    """Options of pandas.read_csv, such as `{sep: ";", decimal: ",", thousands: ".", encoding: gb18030}`, and
    `dayfirst` or `date_format` of pandas.to_datetime. Options that are not set are detected from the file."""

    @field_validator("date_column", "value_column")
    @classmethod
    def _clean_column(cls, name: str | None) -> str | None:
        return None if name is None else clean_name(name)

    @field_validator("id_columns", "static_columns", "known_columns", mode="before")
    @classmethod
    def _clean_columns(cls, names: Any) -> Any:
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list | tuple):
            return names
        return [clean_name(name) if isinstance(name, str) else name for name in names]

    @model_validator(mode="after")
    def _long_columns_of_a_long_table(self) -> "DataParams":
        if self.layout == "wide" and (self.id_columns or self.value_column is not None):
            raise ValueError("id_columns and value_column are columns of a long table; set layout to long or auto")
        if self.layout == "wide" and self.static_columns:
            raise ValueError("static_columns are columns of a long table; set layout to long or auto")
        return self

    @model_validator(mode="after")
    def _one_role(self) -> "DataParams":
        used = {*self.id_columns, self.date_column, self.value_column}
        for name in self.known_columns:
            if name in used or name in self.static_columns or self.known_columns.count(name) > 1:
                raise ValueError(f"the column {name!r} of known_columns has another role too, or is named twice")
        for name in self.static_columns:  # a part of the id may describe the series
            if name in (self.date_column, self.value_column) or self.static_columns.count(name) > 1:
                raise ValueError(f"the column {name!r} of static_columns has another role too, or is named twice")
        return self

    def with_columns(self, ids: Sequence[str], date: str, value: str | None) -> "DataParams":
        """The parameters with the columns of a long table that were recognised; unchanged for a wide table (no ids)."""
        if not ids:
            return self
        return self.model_copy(update={"id_columns": list(ids), "date_column": date, "value_column": value})

    @field_validator("csv")
    @classmethod
    def _check_csv(cls, options: dict[str, Any]) -> dict[str, Any]:
        import pandas as pd

        dates = sorted(OUR_DATES & set(options))
        if dates:
            raise ValueError(f"{dates} cannot be set here: dates are parsed later; set dayfirst or date_format instead")
        known = set(inspect.signature(pd.read_csv).parameters) - OURS
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(f"{unknown} are not options of pandas.read_csv that can be set here")
        for name, value in options.items():
            _check_option(name, value)
        if options.get("date_format") is not None and "dayfirst" in options:
            raise ValueError("dayfirst has no effect with date_format; set only one of them")
        return options


def _check_option(name: str, value: Any) -> None:
    """Raise ValueError for a value that pandas would ignore, or reject without naming the option."""
    if name in CHOICES:
        _check_choice(name, value)
    if name in ROWS and value is not None and not (name == "header" and value == "infer"):
        _check_rows(name, value)
    if name not in TEXTS or (value is None and name in MAY_BE_NULL):
        return
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}; write a quoted string")
    if name in ONE_CHARACTER and len(value) != 1:
        raise ValueError(f"{name} is {value!r}; write one character")
    if name == "encoding":
        try:
            b"".decode(value)
            "a".encode(value)
        except (LookupError, ValueError) as error:
            raise ValueError(f"{value!r} is not a text encoding; write utf-8, gb18030, cp1252 or latin-1") from error
    if name == "encoding_errors":
        try:
            codecs.lookup_error(value)
        except (LookupError, ValueError) as error:
            raise ValueError(f"encoding_errors is {value!r}; write strict, replace or ignore") from error
    if name == "dialect" and value not in csv.list_dialects():
        raise ValueError(f"dialect is {value!r}; write {', '.join(csv.list_dialects())}")
    if name == "date_format":
        _check_date_format(value)


def _check_choice(name: str, value: Any) -> None:
    choices = CHOICES[name]
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        names = [str(choice).lower() if isinstance(choice, bool) else str(choice) for choice in choices]
        raise ValueError(f"{name} is {value!r}; write {', '.join(names[:-1])} or {names[-1]}")


def _check_rows(name: str, value: Any) -> None:
    """Raise ValueError for an invalid number of lines; `skiprows` may also list line numbers, counted from 0."""
    numbers = value if name == "skiprows" and isinstance(value, list | tuple) else [value]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MOST_SKIPPED:
            raise ValueError(f"{name} is {number!r}; write 0 to {MOST_SKIPPED:,}")


def _check_date_format(value: str) -> None:
    import pandas as pd

    if value in ("ISO8601", "mixed"):
        return
    try:
        pd.to_datetime(pd.Series(["2020-01-01"]), format=value, errors="coerce")
    except (ValueError, KeyError, re.error) as error:
        raise ValueError(
            f"date_format {value!r} is not a format: {error}; write for example '%d/%m/%Y %H:%M'"
        ) from error
    if not WITH_A_YEAR.search(value):
        raise ValueError(f"date_format {value!r} has no year (%Y or %y); write for example '%d/%m/%Y %H:%M'")


def clean_name(name: str) -> str:
    """A column name with each run of control and invisible format characters replaced by one space.

    A name without such characters is returned unchanged, including its spaces.
    """
    marked = "".join("\x00" if _is_control(char) else char for char in name)
    if "\x00" not in marked:
        return name
    return re.sub(r"\s*\x00[\s\x00]*", " ", marked).strip()


def _is_control(char: str) -> bool:
    return category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in JOINERS
