"""Helpers of the harness that read files and texts, and the exceptions that report a finding."""

import csv
import hashlib
import math
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BIDI = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
FORMULA = re.compile(r"[=+\-@\t\r]")


class Wrong(Exception):  # noqa: N818 - a finding, not an error of this program
    """A command did not end as it should."""


class Skipped(Exception):  # noqa: N818
    """This machine cannot run the case."""


def forecast_numbers(path: Path) -> list[float]:
    """The numbers of a forecast.csv. Raises Wrong for a blank, infinite or dangerous cell."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = list(csv.reader(file))
    need(bool(rows), "forecast.csv has no rows")
    numbers = [name for name in header if name == "forecast" or re.fullmatch(r"(lower|upper)_\d+", name)]
    need("forecast" in numbers, f"forecast.csv has the columns {header}")
    values = []
    for row in rows:
        for name, cell in zip(header, row, strict=True):
            if name in numbers:
                try:
                    values.append(float(cell))
                except ValueError:
                    raise Wrong(f"forecast.csv has the cell {cell!r} in {name}") from None
                need(math.isfinite(values[-1]), f"forecast.csv has {cell} in {name}")
            else:
                need(not FORMULA.match(cell), f"forecast.csv has the cell {cell[:40]!r}, a formula")
    return values


def need(fact: bool, otherwise: str) -> None:
    """Raises Wrong unless the fact is true."""
    if not fact:
        raise Wrong(otherwise)


def control_characters(text: str) -> str:
    """Control and direction characters of a text, escaped; tabs and line ends do not count."""
    found = {one for one in text if one not in "\n\t" and (unicodedata.category(one) == "Cc" or one in BIDI)}
    return " ".join(sorted(f"U+{ord(one):04X}" for one in found))


def sha(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything in a folder, with contents, to be compared later."""
    return {name: look(path, content=True) for name, path in walk(folder, set())}


def walk(folder: Path, without: set[str]) -> Iterator[tuple[str, Path]]:
    """Names and paths of everything in a folder, but for these entries of it."""
    for parent, folders, files in os.walk(folder):
        if Path(parent) == folder:
            folders[:] = [name for name in folders if name not in without]
        for name in [*folders, *files]:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if relative.split("/", maxsplit=1)[0] not in without:
                yield relative, path


def look(path: Path, content: bool) -> tuple[Any, ...]:
    """Kind and content of a path, links not followed; without content, kind, size and time."""
    try:
        facts = path.lstat()
    except OSError:
        return ("gone",)
    kind = stat.S_IFMT(facts.st_mode)
    if kind == stat.S_IFLNK:
        return ("link", str(path.readlink()))
    if kind != stat.S_IFREG:
        return (kind,)
    return (
        kind,
        facts.st_size,
        (sha(path) if facts.st_size < 2**22 else facts.st_mtime) if content else facts.st_mtime,
    )
