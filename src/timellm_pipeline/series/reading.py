"""The raw file becomes a table: CSV in its usual variants, plain or gzipped, or Parquet.

What the file itself shows (encoding, semicolons with decimal commas, an index column of `to_csv`) is detected and
reported in the log; `data.csv` overrides it.
"""

import csv
import hashlib
import io
import logging
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.formats import GZIP, is_parquet, refuse_other_formats
from timellm_pipeline.series.gzip_file import decompress
from timellm_pipeline.series.parquet_file import read_parquet

log = logging.getLogger(__name__)

MOST_COLUMNS = 5_000
SAMPLE = 1 << 20  # characters in which the separator is looked for
DATES = {"dayfirst", "date_format"}  # dates are parsed when the series is validated
NOT_FOR_THE_HEADER = {
    *("header", "dtype", "converters", "skipfooter", "usecols", "true_values", "false_values"),
    *("na_filter", "na_values", "keep_default_na", "dtype_backend"),
}
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
CHINESE_PAIR = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")
EVERYDAY_PAIR = re.compile(rb"[\xa1-\xa9\xb0-\xd7][\xa1-\xfe]")
HIGH_RUN = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True)
class RawFile:
    """A file on disk: its path, its bytes, and their sha256."""

    path: str
    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Digest of the bytes."""
        return hashlib.sha256(self.content).hexdigest()


def read_table(file: RawFile, data: DataParams) -> pd.DataFrame:
    """The table in a file; `attrs` hold its `path` and `sha256`.

    Raises SeriesError for what cannot be read as a table, naming the file and, where there is one, the line.
    """
    content, inside = file.content, ""
    try:
        if content[:2] == GZIP:
            content, inside = decompress(content, file.path, data.max_gigabytes), " in a gzip file"
        if is_parquet(content):
            table = read_parquet(content, file.path, data.date_column, data.max_gigabytes, MOST_COLUMNS)
        else:
            refuse_other_formats(content, file.path, inside)
            options = {name: value for name, value in data.csv.items() if name not in DATES}
            table = _read_csv(content, file.path, options)
    except MemoryError as error:
        raise SeriesError(
            "the file does not fit into memory",
            where=file.path,
            do="give fewer rows or channels, or use a machine with more memory",
        ) from error
    if len(table.columns) > MOST_COLUMNS:
        raise SeriesError(
            f"{len(table.columns):,} columns; at most {MOST_COLUMNS:,} can be used",
            where=f"{file.path}, header",
            do="transpose the table: one row per time stamp, one column per channel; or split it into several files",
        )
    table = _without_index(table, file.path)
    table.attrs = {"path": file.path, "sha256": file.sha256}
    return table


def _read_csv(content: bytes, path: str, options: dict[str, Any]) -> pd.DataFrame:
    encoding = options.pop("encoding", None) or _encoding(content, path)
    try:
        text = content.decode(encoding, options.pop("encoding_errors", None) or "strict")
    except (UnicodeError, LookupError) as error:
        raise SeriesError(
            f"cannot decode the file as {encoding}: {error}",
            where=path,
            do="save the file as UTF-8, or name its encoding in data.csv, for example {encoding: gb18030}",
        ) from error
    text = text.strip("\r\n\x00 \t")  # empty lines at the end
    if not text:
        raise SeriesError("the file is empty", where=path, do="give a CSV with a header and one row per time stamp")
    if "\x00" in text:
        raise SeriesError("there are zero bytes in this text", where=path, do="give a text file; is it a CSV at all?")
    lines = re.split(r"\r\n|\r|\n", text[:SAMPLE])  # not all of them: millions of lines take gigabytes
    header = lines[0]
    if not {"sep", "delimiter"} & options.keys() and "," not in header:
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in header:
                options["sep"] = mark
                comma = any(re.search(r"\d,\d", line) for line in lines[1:50])
                if mark == ";" and "decimal" not in options and comma:
                    options["decimal"] = ","
                also = " and commas as decimal points" if options.get("decimal") == "," else ""
                log.warning("%s is read with %s between columns%s (data.csv sets another)", path, name, also)
    if len(lines) == 1 and len(text) <= SAMPLE:
        raise SeriesError(
            "there is a header and no row below it", where=path, do="give a CSV with one row per time stamp"
        )
    separator = options.get("sep", options.get("delimiter", ","))
    if options.get("skipfooter") or separator is None or len(separator) > 1:  # pandas' C engine has none of them
        options.setdefault("engine", "c" if separator == r"\s+" and not options.get("skipfooter") else "python")
    if options.get("engine", "c") == "c":
        options["low_memory"] = False  # only the C engine has it
    try:
        with warnings.catch_warnings():
            # With more fields in a row than in the header pandas takes the first column for an index.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # bad values are named later, one by one
            _refuse_repeated_names(text, options, path)
            return pd.read_csv(io.StringIO(text), index_col=False, skip_blank_lines=False, **options)
    except SeriesError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, re.error, csv.Error, Warning) as error:
        # What pandas raises for a broken row, and for an option that it cannot use.
        line = re.search(r"line (\d+)", str(error))
        raise SeriesError(
            f"this cannot be read as CSV: {shown((str(error).strip() or type(error).__name__).splitlines()[0], 300)}",
            where=f"{path}, line {line.group(1)}" if line else path,
            do="give one row per time stamp with as many fields as the header has; data.csv takes options of pandas",
        ) from error


def _encoding(content: bytes, path: str) -> str:
    for mark, name in MARKS:
        if content.startswith(mark):
            return name
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8"
    guess = "gb18030" if _chinese(content) else "cp1252"
    log.warning("%s is not UTF-8; it is read as %s (name another in data.csv: {encoding: …})", path, guess)
    return guess


def _chinese(content: bytes) -> bool:
    """Whether text that is not UTF-8 looks Chinese: pairs of GB2312, and everyday ones among them or most of them.

    A rare character's second byte may look like a Latin letter's; an accented small letter begins no everyday one.
    """
    runs = HIGH_RUN.findall(content)
    high = sum(map(len, runs))
    everyday = sum(len(EVERYDAY_PAIR.findall(run)) for run in runs)
    if everyday and 2 * sum(len(CHINESE_PAIR.findall(run)) for run in runs) == high:
        return True
    try:
        content.decode("gb18030")
    except UnicodeDecodeError:
        return False
    return 4 * everyday > high


def _refuse_repeated_names(text: str, options: dict[str, Any], path: str) -> None:
    """Raises SeriesError for a name that two columns have: pandas would rename the second one without a word.

    The header is read as pandas reads it, also behind `skiprows`, `header` and `comment`.
    """
    line = 0 if options.get("header", "infer") == "infer" else options["header"]
    if options.get("names") is not None or not isinstance(line, int):
        return
    plain = {name: value for name, value in options.items() if name not in NOT_FOR_THE_HEADER}
    plain |= {"index_col": False, "skip_blank_lines": False}
    if line:  # lines above the header may have fewer fields: it has as many as pandas finds columns
        width = len(pd.read_csv(io.StringIO(text), header=line, nrows=0, **plain).columns)
        plain["names"] = range(width)
    row = pd.read_csv(io.StringIO(text), header=None, nrows=line + 1, dtype=str, na_filter=False, **plain)
    seen: set[str] = set()
    for name in (str(name).strip() for name in row.iloc[line] if not pd.isna(name)):
        if name and name in seen:
            raise SeriesError(
                f"two columns are named `{shown(name)}`", where=f"{path}, header", do="rename one of the columns"
            )
        seen.add(name)


def _without_index(table: pd.DataFrame, path: str) -> pd.DataFrame:
    """Without the unnamed first column of row numbers that pandas' `to_csv` writes."""
    first = str(table.columns[0]) if len(table.columns) else ""
    if not re.fullmatch(r"(Unnamed: 0|)", first) or table.empty:
        return table
    numbers = pd.to_numeric(table.iloc[:, 0], errors="coerce")
    if not (numbers.diff().iloc[1:] == 1).all() or numbers.isna().any():
        return table
    log.warning("%s: the unnamed first column holds row numbers; it is left out", path)
    return table.iloc[:, 1:]
