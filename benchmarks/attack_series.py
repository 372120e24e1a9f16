"""Hostile series: time stamps, gaps, values, and the types that Parquet brings."""

# ruff: noqa: PLR0915 - a function that lists cases is as long as the list

import datetime
import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import attack_harness as harness
from attack_harness import Case, Outcome, Place, need
from attack_inputs import GOOD, LINES, Content, cell, dates, either, frame, given, line, parquet, put, refused, works

# ── dates


def date_forms() -> Iterator[Case]:
    """Time stamps that mean several things are reported, those that mean nothing are refused."""
    g = "dates"

    def hour(n: int) -> tuple[int, int]:
        return 1 + n // 24, n % 24

    def in_march(place: Place, outcome: Outcome) -> None:
        path = place.newest("02_intermediate/series.parquet")
        import pandas as pd

        first = pd.read_parquet(path)["date"].iloc[0]
        need((first.month, first.day) == (3, 5), f"05/03/2020 was read as {first:%d %B}")

    def day_first(n: int) -> str:
        day, at = divmod(n, 24)
        return f"{5 + day:02d}/03/2020 {at:02d}:00"

    def month_first(n: int) -> str:
        day, at = divmod(n, 24)
        return f"03/{5 + day:02d}/2020 {at:02d}:00"

    def short(n: int) -> str:
        day, at = divmod(n, 24)
        return f"0{1 + day}/03/2020 {at:02d}:00"

    first_days = "\n".join(dates(short).split("\n")[: 1 + 9 * 24]) + "\n"
    yield works(
        g, "dayfirst with 05/03/2020", dates(day_first), params=given(data__csv={"dayfirst": True}), then=in_march
    )
    yield works(g, "month first, 03/05/2020", dates(month_first), then=in_march)
    word = "dayfirst|ambiguous|day first|month first"
    one_day = dates(lambda n: f"05/03/2020 {n // 60:02d}:{n % 60:02d}")
    yield works(g, "ambiguous: one day in minutes", one_day, word)

    def ambiguous(place: Place) -> None:
        put(place, first_days)
        place.speaks(place.either(place.run("data")).text, [word], [])

    yield Case("input", g, "ambiguous: 01/03 to 09/03, hourly", ambiguous)
    yield works(g, "dayfirst, ambiguous", first_days, params=given(data__csv={"dayfirst": True}))
    for name, made in {
        "ISO with T": lambda n: "2020-01-{:02d}T{:02d}:00:00".format(*hour(n)),
        "ISO with Z": lambda n: "2020-01-{:02d}T{:02d}:00:00Z".format(*hour(n)),
        "one offset": lambda n: "2020-01-{:02d} {:02d}:00:00+08:00".format(*hour(n)),
        "no seconds": lambda n: "2020-01-{:02d} {:02d}:00".format(*hour(n)),
        "slashes, year first": lambda n: "2020/01/{:02d} {:02d}:00".format(*hour(n)),
        "compact": lambda n: "202001{:02d} {:02d}0000".format(*hour(n)),
        "month names": lambda n: "{:02d} Jan 2020 {:02d}:00".format(*hour(n)),
    }.items():
        content = "\n".join(dates(made).split("\n")[: 1 + 30 * 24])
        yield works(g, name, content)
    numbers: dict[str, Callable[[int], str]] = {
        "row numbers": str,
        "seconds since 1970": lambda n: str(1577836800 + 3600 * n),
        "milliseconds since 1970": lambda n: str(1577836800000 + 3600000 * n),
        "Excel days": lambda n: f"{43831 + n / 24:.6f}",
        "years": lambda n: str(1600 + n),
        "compact days": lambda n: str(20200101 + n),
        "negative numbers": lambda n: str(-n),
    }
    for name, made in numbers.items():
        yield refused(g, name, dates(made), "number|time stamp|timestamp|date", never=(r"int64\(", r"float64\("))
    bad: dict[str, tuple[str, str]] = {
        "times without a day": (dates(lambda n: f"{n // 12 % 24:02d}:{n % 12 * 5:02d}"), "day|date"),
        "times with seconds, without a day": (dates(lambda n: f"{n // 12 % 24:02d}:{n % 12 * 5:02d}:00"), "day|date"),
        "weekday names": (dates(lambda n: ["Mon", "Tue", "Wed"][n % 3]), ""),
        "`now`": (line(9, "now,1,1"), "line 9"),
        "`today`": (line(9, "today,1,1"), "line 9"),
        "NaT": (line(9, "NaT,1,1"), "line 9"),
        "an empty date": (line(9, ",1,1"), "line 9"),
        "month 13": (line(9, "2020-13-01 00:00:00,1,1"), "line 9"),
        "30 February": (line(9, "2020-02-30 00:00:00,1,1"), "line 9"),
        "hour 25": (line(9, "2020-01-01 25:00:00,1,1"), "line 9"),
        "year 9999": (line(401, "9999-12-31 00:00:00,1,1"), ""),
        "year 1500": (line(2, "1500-01-01 00:00:00,1,1"), ""),
        "year 0": (line(2, "0000-01-01 00:00:00,1,1"), ""),
        "year 12020": (line(2, "12020-01-01 00:00:00,1,1"), ""),
        "the same stamp everywhere": (dates(lambda n: "2020-01-01 00:00:00"), "twice|duplicate|more than once"),
        "a stamp twice": (line(9, LINES[7]), "line 9"),
        "a gap": ("\n".join(LINES[:100] + LINES[103:]), "line 101"),
        "a stamp between two": (line(9, LINES[8].replace(":00:00", ":30:00", 1)), ""),
        "random steps": (dates(lambda n: f"2020-01-{1 + n * n // 7000:02d} {n % 24:02d}:{n * 7 % 60:02d}"), ""),
        "a formula as a date": (line(9, "=NOW(),1,1"), "line 9"),
        "a list as a date": (line(9, "[1],1,1"), "line 9"),
        "escapes in a date": (line(9, "\x1b[31mred,1,1"), "line 9"),
        "a forged log line as a date": (line(9, '"x\nError: forged",1,1'), "line 9"),
        "a date of 100,000 letters": (line(9, "9" * 100_000 + ",1,1"), "line 9"),
        "Arabic digits": (line(9, "٢٠٢٠-٠١-٠١,1,1"), ""),
    }
    for name, (content, says) in bad.items():
        yield refused(g, name, content, *([says] if says else []))
    mixed = dates(lambda n: f"2020-01-{1 + n // 24:02d} {n % 24:02d}:00{'+01:00' if n < 200 else '+02:00'}")
    yield refused(g, "two offsets", mixed, "offset|time zone")
    doubled = [
        *(f"2020-10-25 {n:02d}:00,1,{n}" for n in (0, 1, 2)),
        "2020-10-25 02:00,1,2.5",  # the clock was set back
        *(f"2020-10-25 {n:02d}:00,1,{n}" for n in range(3, 24)),
    ]
    before = [f"2020-10-{d:02d} {n:02d}:00,{n},{n % 5}" for d in range(5, 25) for n in range(24)]
    yield refused(
        g, "an hour twice at the end of summer time", "\n".join([LINES[0], *before, *doubled]),
        "utc|summer|daylight|dst", never=("remove the duplicate",),
    )  # fmt: skip
    shuffled = "\n".join([LINES[0], *LINES[200:], *LINES[1:200]])
    yield works(g, "rows out of order", shuffled, "sorted|order")
    backwards = "\n".join([LINES[0], *LINES[:0:-1]])
    yield works(g, "newest row first", backwards, "sorted|order")
    years = [f"{2090 + n // 8760}-" for n in range(1)]
    future = GOOD.replace("2020-", years[0])
    yield works(g, "rows in the future, data", future, "future")

    def retrain(place: Place) -> None:
        put(place, future)
        outcome = place.run("retrain", base=harness.EASY)
        place.refuse(outcome, "future", status=3 if outcome.status == 3 else 1)

    yield Case("input", g, "rows in the future, retrain", retrain)
    yield refused(g, "the newest row alone in the future", line(401, "2090-01-01 00:00:00,1,1"), "")
    for size, step in {"daily": 24, "weekly": 168}.items():
        start = datetime.datetime(1990, 1, 1)
        made = {n: (start + datetime.timedelta(hours=n * step)).isoformat(" ") for n in range(400)}
        yield works(g, size, dates(lambda n, made=made: made[n]))
    yield from gaps()


def gaps() -> Iterator[Case]:
    """Missing rows and cells."""
    g = "gaps"
    holes = "\n".join(LINES[:100] + LINES[103:])
    cells = "\n".join([*LINES[:100], *(one.rsplit(",", 1)[0] + "," for one in LINES[100:105]), *LINES[105:]])
    most = "\n".join(
        [LINES[0], *(one if n % 100 == 0 else one.rsplit(",", 1)[0] + "," for n, one in enumerate(LINES[1:]))]
    )
    few = "\n".join([LINES[0], *(one for n, one in enumerate(LINES[1:]) if n % 3 == 0 or n < 20)])
    for how in ("interpolate", "drop_windows"):
        params = given(data__gaps=how)
        yield works(g, f"missing rows, {how}", holes, "filled", params=params)
        yield works(g, f"empty cells, {how}", cells, "filled", params=params)
        yield refused(g, f"a channel that is nearly empty, {how}", most, "half|missing|OT|gap", params=params)
        yield refused(g, f"most rows missing, {how}", few, "half", params=params)
    yield refused(g, "empty cells, by default", cells, "missing", params={})
    yield refused(
        g,
        "10,000 years between two rows",
        "\n".join([*LINES, "2250-01-01 00:00:00,1,1"]),
        params=given(data__gaps="interpolate"),
    )

    def newest_invented(place: Place) -> None:
        place.take("drop")
        text = place.csv.read_text(encoding="utf-8").rstrip("\n").split("\n")
        empty = [one.rsplit(",", 1)[0] + "," for one in text[-30:]]
        place.csv.write_text("\n".join([*text[:-30], *empty]) + "\n", encoding="utf-8")
        outcome = place.run("forecast", {"data.gaps": "drop_windows"})
        if outcome.status == 0:
            header = place.newest("07_model_output/forecast.csv").read_text(encoding="utf-8-sig").split("\n")[0]
            need("fill" in header or "invent" in header or "gap" in header, "a forecast from invented rows, unmarked")
        else:
            place.refuse(outcome, "missing|filled|gap")

    yield Case("input", g, "forecast from a window that was filled in, drop_windows", newest_invented)


# ── values


def values() -> Iterator[Case]:
    """Cells that are no finite numbers."""
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
    return [*date_forms(), *values()]
