"""Hostile values: cells that are not finite numbers, and the types that Parquet brings."""

import datetime
import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import attack_harness as harness
from attack_builders import LINES, Content, cell, either, frame, parquet, refused, works
from attack_harness import Case, Place

# ── cells of a CSV


def values() -> Iterator[Case]:
    """Cells that are not finite numbers."""
    g = "values"
    bad = {
        "inf": "inf", "-inf": "-inf", "Infinity": "Infinity", "text": "n.a.", "hash": "#REF!", "a formula": "=1+1",
        "true": "true", "a list": '"[1, 2]"', "a dictionary": '"{""a"": 1}"', "complex": "1+2j", "hexadecimal": "0x1F",
        "1e400": "1e400", "400 digits": "9" * 400, "two numbers": "1 2", "a unit": "3 kW", "per cent": "50%",
        "a currency": "€5", "an escape": "\x1b[31m5", "a forged line": '"5\nError: forged"', "Roman": "IV",
        "1e308 beside small ones": "1e308", "empty": "", "NaN": "NaN", "null": "null", "a zero-width space": "5\u200b",
        "a right-to-left mark": "\u202e5", "underscores": "1_000", "a dash": "-", "a minus sign": "−5",
        "100,000 letters": "x" * 100_000,
    }  # fmt: skip
    for name, text in bad.items():
        yield refused(g, f"cell: {name}", cell(text), "line 9|OT|number|scale|large")
    for name, text in {"1e200": "1e200", "-1e200": "-1e200", "1e300": "1e300"}.items():
        yield refused(g, f"newest cell {name}, train", cell(text, 401), pipeline="train")
    column = "\n".join([LINES[0], *(one.rsplit(",", 1)[0] + ",true" for one in LINES[1:])])
    yield works(g, "a channel of booleans", column)  # 1 and 0
    constant = "\n".join([LINES[0], *(one.rsplit(",", 1)[0] + ",3" for one in LINES[1:])])
    yield works(g, "a constant target", constant, "hardly change|constant")
    yield works(g, "a constant target, train", constant, pipeline="train")
    empty = "\n".join([LINES[0], *(one.rsplit(",", 1)[0] + "," for one in LINES[1:])])
    yield refused(g, "an empty channel", empty, "no value")
    zeros = "\n".join([LINES[0], *(one.rsplit(",", 1)[0] + ",0" for one in LINES[1:])])
    yield works(g, "zeros, train", zeros, pipeline="train")
    tiny = "\n".join([LINES[0], *(one.rsplit(",", 1)[0] + f",{n % 7}e-300" for n, one in enumerate(LINES[1:]))])
    yield either(g, "values of 1e-300", tiny)
    large = "\n".join([LINES[0], *(one.rsplit(",", 1)[0] + f",{n % 7}e150" for n, one in enumerate(LINES[1:]))])
    yield either(g, "values of 1e150", large)
    for text in ("1e200", "1e30", "inf", "-1e30", "nan", "text", ""):

        def check(place: Place, text: str = text) -> None:
            place.take("trained")
            lines = place.csv.read_text(encoding="utf-8").rstrip("\n").split("\n")
            lines[-1] = lines[-1].rsplit(",", 1)[0] + "," + text
            place.csv.write_text("\n".join(lines) + "\n", encoding="utf-8")
            place.refuse(place.run("forecast"))

        yield Case("input", g, f"forecast with the newest cell {text or 'empty'}", check)

    def future_forecast(place: Place) -> None:
        place.take("trained")
        text = place.csv.read_text(encoding="utf-8").replace("2020-", "2090-")
        place.csv.write_text(text, encoding="utf-8")
        place.refuse(place.run("forecast"), "future")

    yield Case("input", g, "forecast with rows in the future", future_forecast)

    def zone(place: Place) -> None:
        place.take("champions")
        os.environ["TZ"] = "Etc/GMT-8"
        time.tzset()
        now = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)
        lines = place.csv.read_text(encoding="utf-8").rstrip("\n").split("\n")
        stamps = [now - datetime.timedelta(hours=n + 1) for n in reversed(range(len(lines) - 1))]
        made = [f"{at:%Y-%m-%dT%H:%M:%SZ},{one.split(',', 1)[1]}" for at, one in zip(stamps, lines[1:], strict=True)]
        place.csv.write_text("\n".join([lines[0], *made]) + "\n", encoding="utf-8")
        params = {**harness.EASY, "gates.max_age": "3h"}
        outcome = place.run("retrain", params)
        place.work(outcome)

    yield Case("input", g, "fresh data in UTC passes max_age at UTC+8", zone)
    yield from parquet_values()


def parquet_values() -> Iterator[Case]:
    """Parquet brings types that no CSV has."""
    import decimal

    g = "parquet"

    def column(make: Callable[[int], Any]) -> Content:
        return parquet(lambda table: table.assign(load=[make(n) for n in range(len(table))]))

    now = datetime.datetime(2020, 1, 1)
    for name, make, says in [
        ("time stamps in a channel", lambda n: now + datetime.timedelta(n), "load"),
        ("durations in a channel", datetime.timedelta, "load"),
        ("days in a channel", lambda n: datetime.date(2020, 1, 1) + datetime.timedelta(n), "load"),
        ("lists in a channel", lambda n: [n, n], "load|nested"),
        ("dictionaries in a channel", lambda n: {"a": n}, "load|nested"),
        ("texts in a channel", lambda n: f"a{n}", "load"),
        ("bytes in a channel", lambda n: bytes([n % 256]), "load"),
        ("infinity in a channel", lambda n: float("inf") if n == 7 else 1.0 * n, "load"),
        ("missing in a channel", lambda n: None if n == 7 else 1.0 * n, "load"),
        ("nothing in a channel", lambda n: None, "load"),
    ]:
        yield refused(g, name, column(make), says)
    yield works(g, "good", parquet(lambda table: table))
    yield works(g, "decimals in a channel", column(lambda n: decimal.Decimal(n % 24) / 4))
    yield works(g, "integers in a channel", column(lambda n: n % 24))
    yield works(g, "booleans in a channel", column(lambda n: n % 2 == 0))  # 1 and 0
    yield works(g, "float16 in a channel", parquet(lambda table: table.astype({"load": "float32"})))
    yield works(
        g, "nullable integers", parquet(lambda table: table.assign(load=range(len(table))).astype({"load": "Int64"}))
    )
    yield works(g, "time stamps as index", parquet(lambda table: table.set_index("date")))
    yield works(g, "time stamps as text", parquet(lambda table: table.assign(date=table["date"].astype(str))))
    yield works(
        g, "time stamps with a zone", parquet(lambda table: table.assign(date=table["date"].dt.tz_localize("UTC")))
    )
    both = parquet(lambda table: table.set_index(table["date"].rename("stamp")).assign(date=table["date"].to_numpy()))
    yield either(g, "a time-stamp index and a date column", both)
    same = parquet(lambda table: table.set_index(table["date"].rename(None)).assign(date=table["date"].to_numpy()))
    yield either(g, "an unnamed time-stamp index and a date column", same)
    yield either(g, "categories", parquet(lambda table: table.assign(load=table["load"].round().astype("category"))))
    yield refused(g, "numbers as dates", parquet(lambda table: table.assign(date=range(len(table)))))
    yield refused(g, "no rows", parquet(lambda table: table.head(0)), "no row")
    yield refused(g, "5,002 columns", parquet(lambda table: _widened(table, 5002)), "column")
    yield refused(g, "names that are numbers", parquet(lambda table: table.rename(columns={"OT": "1"})), "OT")
    yield refused(g, "magic alone", b"PAR1", "parquet")
    yield refused(g, "magic at both ends", b"PAR1" + bytes(100) + b"PAR1", "parquet")
    yield refused(g, "a footer of 4 GB", b"PAR1" + bytes(100) + struct.pack("<I", 2**32 - 1) + b"PAR1", "parquet")

    def damaged(cut: Callable[[bytes], bytes]) -> Content:
        def write(place: Place) -> None:
            frame().to_parquet(place.csv)
            place.csv.write_bytes(cut(place.csv.read_bytes()))

        return write

    yield refused(g, "half a file", damaged(lambda content: content[: len(content) // 2]), "parquet")
    yield refused(g, "a damaged page", damaged(lambda content: content[:40] + bytes(400) + content[440:]), "")
    yield refused(
        g, "a damaged footer", damaged(lambda content: content[:-200] + bytes(100) + content[-100:]), "parquet"
    )


def _widened(table: Any, columns: int) -> Any:
    import numpy as np
    import pandas as pd

    extra = pd.DataFrame(np.ones((len(table), columns)), columns=[f"c{n}" for n in range(columns)])
    return pd.concat([table, extra], axis=1)


def cases() -> list[Case]:
    """Every case of this file."""
    return [*values()]
