"""Read a raw file into a table: CSV in its common variants, plain or gzipped, or Parquet.

Encoding, separators, decimal commas and an index column of `to_csv` are detected and logged; `data.csv` overrides the
detection.
"""

import codecs
import csv
import hashlib
import io
import logging
import re
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.csv_chunks import read_in_chunks
from timellm_pipeline.series.formats import GZIP, is_parquet, refuse_other_formats
from timellm_pipeline.series.gzip_file import decompress
from timellm_pipeline.series.identity import digest_of, digest_of_file
from timellm_pipeline.series.lines import first_line
from timellm_pipeline.series.parquet_file import read_parquet
from timellm_pipeline.series.separators import COMMA, NAMES, find_separators

log = logging.getLogger(__name__)

MOST_COLUMNS = 5_000
SAMPLE = 1 << 20  # characters that are used to detect the separator
DATES = {"dayfirst", "date_format"}  # options of dates, which are parsed during validation
NOT_FOR_THE_HEADER = {
    *("header", "dtype", "converters", "skipfooter", "usecols", "true_values", "false_values"),
    *("na_filter", "na_values", "keep_default_na", "dtype_backend"),
}
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
CHINESE_PAIR = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")
EVERYDAY_PAIR = re.compile(rb"[\xa1-\xa9\xb0-\xd7][\xa1-\xfe]")
BLANK = b"\r\n\x00 \t"
HIGH_RUN = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True)
class RawFile:
    """Path and bytes of a file, or of the Parquet files of a folder.

    Attributes:
        path: path of the file or folder.
        content: bytes of the file; empty for a folder, and for a large Parquet file, which is read in parts.
        parts: the files of a folder, sorted by name; empty for a file.
        stat: size in bytes and time of the last change of a file that is read in parts.
        folder: folder for values that do not fit into memory; None: the system's folder for temporary files.
    """

    path: str
    content: bytes = field(repr=False)
    parts: tuple["RawFile", ...] = field(default=(), repr=False)
    stat: tuple[int, int] | None = None
    folder: Path | None = None

    @cached_property
    def sha256(self) -> str:
        """sha256 of the bytes; for a folder, of the names and digests of its files."""
        if self.parts:
            return digest_of([(Path(part.path).name, part.sha256) for part in self.parts])
        if self.stat is None:
            return hashlib.sha256(self.content).hexdigest()
        digest = digest_of_file(Path(self.path))
        self.refuse_changed()
        return digest

    @property
    def is_parquet(self) -> bool:
        """Whether this is a Parquet file."""
        return self.stat is not None or is_parquet(self.content)

    def read(self) -> bytes:
        """All bytes, also of a file that is read in parts."""
        return self.content if self.stat is None else Path(self.path).read_bytes()

    def stream(self) -> BinaryIO:
        """The file, opened for reading."""
        return io.BytesIO(self.content) if self.stat is None else Path(self.path).open("rb")

    def refuse_changed(self) -> None:
        """Raise SeriesError if a file that is read in parts has changed since it was opened first."""
        if self.stat is not None and self.stat != stat_of(Path(self.path)):
            raise SeriesError(
                "the file changed while it was read", where=self.path, do="run again when no program writes to it"
            )


def stat_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change of a file."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def read_table(file: RawFile, data: DataParams) -> pd.DataFrame:
    """The table in a file, with dates not yet parsed.

    Raises SeriesError if the file cannot be read as a table, with the path and, if known, the line.
    """
    content, inside = file.read(), ""
    try:
        if content[:2] == GZIP:
            content, inside = decompress(content, file.path, data.max_gigabytes), " in a gzip file"
        if is_parquet(content):
            ignored = sorted(set(data.csv) - DATES)
            if ignored:
                log.warning("%s is a Parquet file: data.csv options %s have no effect", file.path, ", ".join(ignored))
            table = read_parquet(content, file.path, data.date_column, data.max_gigabytes, MOST_COLUMNS)
        else:
            refuse_other_formats(content, file.path, inside)
            options = {name: value for name, value in data.csv.items() if name not in DATES}
            table = _read_csv(content, file.path, options)
    except MemoryError as error:
        raise SeriesError(
            "the file does not fit into memory",
            where=file.path,
            do="use fewer rows or channels, or a machine with more memory",
        ) from error
    if len(table.columns) > MOST_COLUMNS:
        raise SeriesError(
            f"{len(table.columns):,} columns; at most {MOST_COLUMNS:,} can be used",
            where=f"{file.path}, header",
            do="transpose the table: one row per time stamp, one column per channel; or split it into several files",
        )
    return _without_index(table, file.path)


def _read_csv(content: bytes, path: str, options: dict[str, Any]) -> pd.DataFrame:
    content = _in_utf8(content, path, options)
    keep_end = options.get("lineterminator") is None and len(content) > SAMPLE  # without it, a copy would be needed
    content = _without_blank_ends(content, bool({"skiprows", "header"} & options.keys()), keep_end)
    if not content:
        raise SeriesError("the file is empty", where=path, do="give a CSV with a header and one row per time stamp")
    if b"\x00" in content:
        raise SeriesError("the text contains zero bytes", where=path, do="check that the file is a CSV text file")
    end_of_line = re.escape(options["lineterminator"]) if options.get("lineterminator") else r"\r\n|\r|\n"
    sample = content[:SAMPLE].decode("utf-8", "ignore")  # only a sample: millions of lines take gigabytes
    lines = re.split(end_of_line, sample)
    if len(lines) == 1 and len(content) <= SAMPLE:
        raise SeriesError("the file has a header but no rows", where=path, do="give a CSV with one row per time stamp")
    if not {"sep", "delimiter", "dialect"} & options.keys():
        _detect_separators(lines, options, path)
    separator = options.get("sep", options.get("delimiter", ","))
    if options.get("skipfooter") or separator is None or len(separator) > 1:  # not supported by the C engine
        options.setdefault("engine", "c" if separator == r"\s+" and not options.get("skipfooter") else "python")
    if options.get("engine", "c") == "c":
        options["low_memory"] = False  # supported only by the C engine
    try:
        with warnings.catch_warnings():
            # If a row has more fields than the header, pandas would use the first column as an index.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # invalid values are reported by the validation
            _refuse_repeated_names(content, options, path)
            table = read_in_chunks(content, options)
            if table is None:
                table = pd.read_csv(_opened(content, options), index_col=False, skip_blank_lines=False, **options)
            _refuse_unknown_names(table, options, path)
            return table
    except SeriesError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, re.error, csv.Error, Warning) as error:
        # Exceptions of pandas for a malformed row or an invalid option.
        line = re.search(r"line (\d+)", str(error))
        raise SeriesError(
            f"cannot read the file as CSV: {shown((str(error).strip() or type(error).__name__).splitlines()[0], 300)}",
            where=f"{path}, line {line.group(1)}" if line else path,
            do="write as many fields in each row as in the header; data.csv accepts the options of pandas.read_csv",
        ) from error


def _in_utf8(content: bytes, path: str, options: dict[str, Any]) -> bytes:
    """The text in UTF-8. Raises SeriesError if it is not in the encoding of the options, or of the detection."""
    given, errors = options.pop("encoding", None), options.pop("encoding_errors", None) or "strict"
    encoding = given or _encoding(content, path)
    if encoding == "utf-8" and (given is None or (errors == "strict" and _is_utf8(content))):
        return content
    try:
        return content.decode(encoding, errors).encode("utf-8", "surrogatepass")
    except (UnicodeError, LookupError) as error:
        raise SeriesError(
            f"cannot decode the file as {encoding}: {error}",
            where=path,
            do="save the file as UTF-8, or name its encoding in data.csv, for example {encoding: gb18030}",
        ) from error


def _is_utf8(content: bytes) -> bool:
    """Whether the text is in UTF-8. It is decoded in blocks, because all of it takes as much memory again."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for first in range(0, len(content), SAMPLE):
            decoder.decode(content[first : first + SAMPLE], final=first + SAMPLE >= len(content))
    except UnicodeDecodeError:
        return False
    return True


def _opened(content: bytes, options: dict[str, Any]) -> io.BytesIO | io.StringIO:
    """The text for pandas: as bytes for its C parser, which reads them without a copy."""
    if options.get("engine", "c") == "c":
        return io.BytesIO(content)
    return io.StringIO(content.decode("utf-8", "surrogatepass"))


def _without_blank_ends(content: bytes, keep_start: bool, keep_end: bool) -> bytes:
    """Text without empty lines at the end and, unless `keep_start`, at the start. An empty first cell is kept.

    With `keep_end`, one end of line is kept.
    """
    end = content[-SAMPLE:]
    extra = end[len(end.rstrip(BLANK)) :]
    if not keep_end or len(extra) == len(end):
        content = content.rstrip(BLANK)
    elif extra not in (b"", b"\n", b"\r\n"):
        content = content[: -len(extra)]
    start = None if keep_start else re.match(rb"(?:[ \t\x00]*[\r\n])*[ \x00]*", content)
    return content[start.end() :] if start is not None and start.end() else content


def _detect_separators(lines: list[str], options: dict[str, Any], path: str) -> None:
    """Set `sep` and `decimal` from the header and the lines below it. Separators other than commas are logged."""
    comment = options.get("comment")
    start = first_line(options) - 1
    sample = [line for line in lines[start : start + 200] if not (comment and line.startswith(comment))][:51]
    if not any(line.strip() for line in sample):
        return
    quote = "" if options.get("quoting") == csv.QUOTE_NONE else options.get("quotechar", '"')
    found = find_separators(sample, quote)
    if found.column == COMMA:
        return
    options["sep"] = found.column
    options.setdefault("decimal", found.decimal)
    also = " and commas as decimal points" if options["decimal"] == COMMA else ""
    log.warning("%s: reading columns separated by %s%s (data.csv overrides this)", path, NAMES[found.column], also)


def _refuse_unknown_names(table: pd.DataFrame, options: dict[str, Any], path: str) -> None:
    """Raise SeriesError for an option of a column that is not in the file: pandas ignores it silently."""
    for option in ("dtype", "na_values"):
        named = options.get(option)
        unknown = [name for name in named if name not in table.columns] if isinstance(named, dict) else []
        if unknown:
            raise SeriesError(
                f"data.csv.{option} names the column `{shown(unknown[0])}`, which is not in the file",
                where=f"{path}, header",
                do=f"correct the name in data.csv.{option}, or remove it",
            )


def _encoding(content: bytes, path: str) -> str:
    for mark, name in MARKS:
        if content.startswith(mark):
            return name
    if _is_utf8(content):
        return "utf-8"
    guess = "gb18030" if _chinese(content) else "cp1252"
    log.warning("%s is not UTF-8; reading it as %s (data.csv: {encoding: …} overrides this)", path, guess)
    return guess


def _chinese(content: bytes) -> bool:
    """Whether text that is not UTF-8 is likely Chinese.

    True if all high bytes form GB2312 pairs and some of them are common characters, or if the text decodes as GB18030
    and more than half of its high bytes form common characters. The second byte of a rare character may equal a Latin
    letter; no common character starts with the byte of an accented lower-case letter.
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


def _refuse_repeated_names(content: bytes, options: dict[str, Any], path: str) -> None:
    """Raise SeriesError if two columns have the same name: pandas would rename the second one silently.

    The header is parsed by pandas, so `skiprows`, `header` and `comment` are taken into account.
    """
    line = 0 if options.get("header", "infer") == "infer" else options["header"]
    if options.get("names") is not None or not isinstance(line, int):
        return
    plain = {name: value for name, value in options.items() if name not in NOT_FOR_THE_HEADER}
    plain |= {"index_col": False, "skip_blank_lines": False}
    if line:  # lines above the header may have fewer fields, so the width is that of the parsed header
        width = len(pd.read_csv(_opened(content, options), header=line, nrows=0, **plain).columns)
        plain["names"] = range(width)
    row = pd.read_csv(_opened(content, options), header=None, nrows=line + 1, dtype=str, na_filter=False, **plain)
    seen: set[str] = set()
    for name in (str(name).strip() for name in row.iloc[line] if not pd.isna(name)):
        if name and name in seen:
            raise SeriesError(
                f"two columns are named `{shown(name)}`", where=f"{path}, header", do="rename one of the columns"
            )
        seen.add(name)


def _without_index(table: pd.DataFrame, path: str) -> pd.DataFrame:
    """Table without the unnamed first column of row numbers that `DataFrame.to_csv` writes."""
    first = str(table.columns[0]) if len(table.columns) else ""
    if not re.fullmatch(r"(Unnamed: 0|)", first) or table.empty:
        return table
    numbers = pd.to_numeric(table.iloc[:, 0], errors="coerce")
    if not (numbers.diff().iloc[1:] == 1).all() or numbers.isna().any():
        return table
    log.warning("%s: dropping the unnamed first column, which contains row numbers", path)
    return table.iloc[:, 1:]
