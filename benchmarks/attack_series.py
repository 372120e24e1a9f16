"""Hostile series: time stamps and gaps."""

# ruff: noqa: PLR0915 - a function that lists cases is as long as the list

import datetime
from collections.abc import Callable, Iterator

import attack_harness as harness
from attack_builders import GOOD, LINES, dates, given, line, put, refused, works
from attack_files import need
from attack_harness import Case, Place
from attack_process import Outcome

# ── dates


def date_forms() -> Iterator[Case]:
    """Time stamps that mean several things are reported, those that mean nothing are refused."""
    g = "dates"

    def hour(n: int) -> tuple[int, int]:
        return 1 + n // 24, n % 24

    def in_march(place: Place, outcome: Outcome) -> None:
        path = place.newest("02_intermediate/series.parquet")
        import pandas as pd

        first = pd.read_parquet(path)["ds"].iloc[0]
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
        "seconds since 1970": lambda n: str(1577836800 + 3600 * n),
        "milliseconds since 1970": lambda n: str(1577836800000 + 3600000 * n),
        "digits": lambda n: "202001{:02d}{:02d}".format(*hour(n)),
        "day first": lambda n: "{:02d}.01.2020 {:02d}:00".format(*hour(n)),
    }.items():
        content = "\n".join(dates(made).split("\n")[: 1 + 30 * 24])
        yield works(g, name, content)
    numbers: dict[str, Callable[[int], str]] = {
        "row numbers": str,
        "microseconds since 1970": lambda n: str(1577836800000000 + 3600000000 * n),
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


def cases() -> list[Case]:
    """Every case of this file."""
    return [*date_forms()]
