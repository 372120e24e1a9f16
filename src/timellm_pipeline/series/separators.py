"""Detection of the column separator of a CSV file (comma, semicolon or tab) from its first lines.

`csv.Sniffer`, which pandas uses for `sep: null`, would choose the comma in the header `date<tab>load, kW`.
"""

import re
from typing import NamedTuple

COMMA, SEMICOLON, TAB = ",", ";", "\t"
NAMES = {COMMA: "commas", SEMICOLON: "semicolons", TAB: "tabs"}
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+\s*")
DECIMAL_POINT = re.compile(r"\s*[+-]?\d+\.\d+\s*")


class Separators(NamedTuple):
    """Column separator and decimal mark of a CSV file."""

    column: str
    decimal: str


def find_separators(lines: list[str], quote: str = '"') -> Separators:
    """Column separator and decimal mark of a file.

    Commas, semicolons and tabs inside quotes are ignored. If the header has more than one of them outside quotes, as in
    `date<tab>load, kW`, the separator is the one that most rows contain as often as the header.

    Args:
        lines: first lines of the file, starting with the header.
        quote: quote character.
    """
    quoted = re.compile(f"{re.escape(quote)}[^{re.escape(quote)}]*({re.escape(quote)}|$)") if quote else None
    plain = [quoted.sub("", line) if quoted else line for line in lines if line.strip()]
    header, rows = plain[0], plain[1:]
    regular = {mark: _regular(mark, header, rows) for mark in (TAB, SEMICOLON, COMMA) if mark in header}
    if not any(regular.values()):
        column = next((mark for mark in (COMMA, SEMICOLON, TAB) if mark in header), COMMA)
    else:  # on a tie the first one: commas that are equally regular may be decimal marks
        column = max(regular, key=lambda mark: regular[mark])
    if column == COMMA:
        return Separators(COMMA, ".")
    cells = [cell.strip(quote or None) for line in lines[1:] for cell in line.split(column)]
    return Separators(column, COMMA if _decimal_commas(cells, column) else ".")


def _regular(mark: str, header: str, rows: list[str]) -> float:
    """Share of rows that have as many separators as the header."""
    return sum(row.count(mark) == header.count(mark) for row in rows) / len(rows) if rows else 0.0


def _decimal_commas(cells: list[str], column: str) -> bool:
    """Whether commas in numbers are decimal marks. In a tab-separated file, 1,234 may have a thousands separator."""
    if column == SEMICOLON:
        return any(re.search(r"\d,\d", cell) for cell in cells)
    with_comma = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)]
    unclear = all(THOUSANDS.fullmatch(cell) for cell in with_comma)
    return bool(with_comma) and not unclear and not any(DECIMAL_POINT.fullmatch(cell) for cell in cells)
