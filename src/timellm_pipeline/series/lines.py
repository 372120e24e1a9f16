"""Line numbers in the raw file for the rows of the table, for error messages."""

from collections.abc import Mapping
from typing import Any


def line_of(row: int, csv: Mapping[str, Any]) -> int:
    """Line number in the file, counted from 1 as in an editor.

    By default the header is line 1 and the first row is line 2. The options `skiprows`, `header` and `names` are taken
    into account. Lines that `comment` or `on_bad_lines` drops, and line breaks inside quotes, are not.

    Args:
        row: row of the table, counted from 0.
        csv: `data.csv`, the options with which the file is read.
    """
    return _line(_header_lines(csv) + row, csv)


def first_line(csv: Mapping[str, Any]) -> int:
    """Line number of the header, or of the first row if the file has no header, counted from 1."""
    return _line(max(_header_lines(csv) - 1, 0), csv)


def _header_lines(csv: Mapping[str, Any]) -> int:
    """Number of lines up to and including the header, without skipped lines."""
    header = csv.get("header", "infer")
    if header == "infer":
        header = None if csv.get("names") is not None else 0
    return 0 if header is None else int(header) + 1


def _line(number: int, csv: Mapping[str, Any]) -> int:
    """Line number in the file, from a number counted from 0 among the lines that are not skipped."""
    skipped = csv.get("skiprows")
    if isinstance(skipped, int):
        return number + skipped + 1
    for line in sorted(set(skipped or ())):
        number += line <= number
    return number + 1
