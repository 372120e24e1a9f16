"""The good file, changes of it, and the cases that are built from one raw file."""

import io
from collections.abc import Callable, Mapping
from typing import Any

from attack_harness import Case, Place
from attack_process import Outcome

Content = bytes | Callable[[Place], None]


def good(num_rows: int = 400) -> str:
    """A good CSV: hourly, two channels."""
    lines = ["date,load,OT"]
    for row in range(num_rows):
        day, hour = divmod(row, 24)
        load = 10 + hour % 12 * 0.7 + row % 7 * 0.31 + row * 0.001
        month, day = (1, day + 1) if day < 31 else (2, day - 30)
        lines.append(f"2020-{month:02d}-{day:02d} {hour:02d}:00:00,{load:.3f},{20 + load / 3 + row % 5 * 0.2:.3f}")
    return "\n".join(lines) + "\n"


GOOD = good()
LINES = GOOD.splitlines()


def line(number: int, text: str) -> str:
    """The good file with one line replaced, counted from 1."""
    return "\n".join([*LINES[: number - 1], text, *LINES[number:]]) + "\n"


def cell(text: str, number: int = 9) -> str:
    """The good file with one target value replaced."""
    return line(number, LINES[number - 1].rsplit(",", 1)[0] + "," + text)


def dates(made: Callable[[int], str]) -> str:
    """The good file with other time stamps."""
    return "\n".join([LINES[0], *(f"{made(n)},{one.split(',', 1)[1]}" for n, one in enumerate(LINES[1:]))]) + "\n"


def named(name: str) -> str:
    """The good file with a channel of this name, quoted."""
    return GOOD.replace("load", '"' + name.replace('"', '""') + '"', 1)


def frame() -> Any:
    """The good file as a table."""
    import pandas as pd

    return pd.read_csv(io.StringIO(GOOD), parse_dates=["date"])


def parquet(change: Callable[[Any], Any], **options: Any) -> Content:
    """A Parquet file of the good table, changed."""

    def write(place: Place) -> None:
        change(frame()).to_parquet(place.csv, **options)

    return write


def given(**params: Any) -> dict[str, Any]:
    """Parameters, with two underscores for a dot."""
    return {name.replace("__", "."): value for name, value in params.items()}


def put(place: Place, content: Content | str) -> None:
    """Write the raw file."""
    if callable(content):
        content(place)
    else:
        place.csv.write_bytes(content if isinstance(content, bytes) else content.encode())


def refused(
    group: str,
    name: str,
    content: Content | str,
    *says: str,
    params: Mapping[str, Any] | None = None,
    never: tuple[str, ...] = (),
    pipeline: str = "data",
    memory: float = 10.0,
) -> Case:
    """An input that must be refused; afterwards a good one must work."""

    def check(place: Place) -> None:
        put(place, content)
        place.refuse(place.run(pipeline, params, memory=memory), *says, never=(*never, r"np\.\w+64\("))

    return Case("input", group, name, check)


def works(
    group: str,
    name: str,
    content: Content | str,
    *says: str,
    params: Mapping[str, Any] | None = None,
    never: tuple[str, ...] = (),
    pipeline: str = "data",
    then: Callable[[Place, Outcome], None] | None = None,
) -> Case:
    """An input that must work, with a log that matches `says`."""

    def check(place: Place) -> None:
        put(place, content)
        outcome = place.work(place.run(pipeline, params), *says, never=never)
        if then is not None:
            then(place, outcome)

    return Case("input", group, name, check)


def either(group: str, name: str, content: Content | str, params: Mapping[str, Any] | None = None) -> Case:
    """An input that may work or be refused, in three lines."""

    def check(place: Place) -> None:
        put(place, content)
        place.either(place.run("data", params))

    return Case("input", group, name, check)
