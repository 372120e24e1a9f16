"""How the raw file is read."""

import codecs
import inspect
import re
from typing import Any, Literal
from unicodedata import category

from pydantic import Field, field_validator

from timellm_pipeline.parameters.group import Group

OURS = {
    *("filepath_or_buffer", "index_col", "skip_blank_lines", "low_memory", "chunksize", "iterator", "nrows"),
    *("compression", "storage_options", "memory_map", "delim_whitespace", "verbose"),
}
OUR_DATES = {"parse_dates", "infer_datetime_format", "date_parser", "keep_date_col", "cache_dates"}
ONE_CHARACTER = ("decimal", "thousands", "quotechar", "escapechar", "comment", "lineterminator")
TEXTS = ("sep", "delimiter", "encoding", "encoding_errors", "date_format", *ONE_CHARACTER)
ROWS = {"skiprows", "skipfooter"}
MOST_SKIPPED = 1_000_000
MAY_BE_NULL = ("sep", "delimiter", "encoding", "date_format", "thousands", "escapechar", "comment", "lineterminator")
WITH_A_YEAR = re.compile(r"%[YyGcx]")
JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji are written with them


class DataParams(Group):
    """`data`: the format of the raw file."""

    date_column: str = "date"
    """Name of the column with the time stamps."""

    gaps: Literal["error", "interpolate", "drop_windows"] = "error"
    """What to do about missing time stamps and empty cells: `error` names the first one and stops; `interpolate`
    fills them in by linear interpolation in time; `drop_windows` leaves out every window that touches one."""

    max_gigabytes: float = Field(default=2.0, gt=0)
    """Largest table that is read from a compressed file, in GB (10**9 bytes): the decompressed bytes of a gzip file, or
    rows x columns x 8 bytes of a Parquet file."""

    csv: dict[str, Any] = Field(default_factory=dict)
    """Options of pandas.read_csv, such as `{sep: ";", decimal: ",", thousands: ".", encoding: gb18030}`, and
    `dayfirst` or `date_format` of pandas.to_datetime. Options that are not set are detected from the file."""

    @field_validator("date_column")
    @classmethod
    def _clean(cls, name: str) -> str:
        return clean_name(name)

    @field_validator("csv")
    @classmethod
    def _known(cls, options: dict[str, Any]) -> dict[str, Any]:
        import pandas as pd

        dates = sorted(OUR_DATES & set(options))
        if dates:
            raise ValueError(f"{dates} cannot be set here: dates are parsed later; set dayfirst or date_format instead")
        known = set(inspect.signature(pd.read_csv).parameters) - OURS
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(f"{unknown} are no options of pandas.read_csv that can be set here")
        for name, value in options.items():
            _check_option(name, value)
        return options


def _check_option(name: str, value: Any) -> None:
    """Raises ValueError for a value that pandas would ignore, or refuse without naming the option."""
    if name == "dayfirst" and not isinstance(value, bool):
        raise ValueError(f"dayfirst is {value!r}; write true or false")
    if name in ROWS and isinstance(value, int) and not 0 <= value <= MOST_SKIPPED:
        raise ValueError(f"{name} is {value}; write 0 to {MOST_SKIPPED:,}")
    if name not in TEXTS or (value is None and name in MAY_BE_NULL):
        return
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}; write a text in quotes")
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
    if name == "date_format":
        _check_date_format(value)


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
    """A column name in which control and invisible format characters are replaced by one space.

    A name without such characters is returned unchanged, its other spaces too.
    """
    marked = "".join("\x00" if _is_control(one) else one for one in name)
    if "\x00" not in marked:
        return name
    return re.sub(r"\s*\x00[\s\x00]*", " ", marked).strip()


def _is_control(one: str) -> bool:
    return category(one) in ("Cc", "Cf", "Zl", "Zp") and one not in JOINERS
