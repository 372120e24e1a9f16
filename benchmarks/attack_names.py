"""Hostile column names, and hostile tables for the library."""

from collections.abc import Iterator

import attack_harness as harness
from attack_builders import either, named, put
from attack_files import need
from attack_harness import Case, Place

# ── column names

NAMES = {
    "a line break": "lo\nad",
    "a forged log line": "load\n12:00:00  the champion is now version X",
    "a forged error": "load\nError: forged\n  where: nowhere\n  do:    nothing",
    "a carriage return": "lo\rad",
    "a tab": "lo\tad",
    "an ANSI colour": "\x1b[31mload\x1b[0m",
    "an ANSI window title": "\x1b]0;owned\x07load",
    "a bell": "lo\x07ad",
    "a backspace": "load\x08\x08\x08\x08evil",
    "U+007F": "lo\x7fad",
    "U+0085": "lo\x85ad",
    "U+009B": "lo\x9b31mad",
    "U+2028": "lo\u2028ad",
    "U+2029": "lo\u2029ad",
    "U+202E": "lo\u202ead",
    "U+2066": "lo\u2066ad",
    "a zero-width space": "lo\u200bad",
    "a form feed": "lo\x0cad",
    "U+001C": "lo\x1cad",
    "=HYPERLINK": '=HYPERLINK("http://evil.invalid","load")',
    "=cmd": "=cmd|'/C calc'!A0",
    "+": "+load",
    "-": "-load",
    "@": "@SUM(1)",
    "an image": "<img src=x onerror=alert(1)>",
    "a script": "<script>alert(1)</script>",
    "rich markup": "[red]load[/red]",
    "broken rich markup": "[/red]load[",
    "a format field": "{load}",
    "a format field of an attribute": "{0.__class__}",
    "a percent sign": "%s%n%d",
    "a dollar": "${oc.env:HOME}",
    "a backslash": "lo\\ad",
    "a comma": "lo,ad",
    "a quote": 'lo"ad',
    "an apostrophe": "lo'ad",
    "a bar": "lo|ad",
    "a backtick": "`load`",
    "dot dot": "..",
    "a path": "../../etc/passwd",
    "a slash": "/",
    "emoji": "🔥🔥",
    "a family": "👩‍👩‍👧",
    "Chinese": "高负荷",
    "Arabic": "حمل",
    "an accent of its own": "é".encode().decode() + "\u0301",
    "5,000 letters": "x" * 5000,
    "a name of a column of the forecast": "forecast",
    "`channel`": "channel",
    "`timestamp`": "timestamp",
    "`lower_80`": "lower_80",
    "`index`": "index",
    "`level_0`": "level_0",
    "`None`": "None",
    "`nan`": "nan",
    "`true`": "true",
    "a number": "1",
    "a float": "1.5",
    "spaces": "   lo  ad   ",
    "`__class__`": "__class__",
    "a lone space": " ",
    "empty": "",
    "`Unnamed: 0`": "Unnamed: 0",
    "`unique_id`": "unique_id",
    "`ds`": "ds",
    "`y`": "y",
    "null": "null",
    "SQL": "'; DROP TABLE series; --",
    "a shell command": "$(touch victims/precious.txt)",
    "LaTeX": "$\\frac{1}{2}$",
}


def names() -> Iterator[Case]:
    """A column name reaches logs, errors, forecast.csv and pages, and must do no harm in any of them."""
    for name, text in NAMES.items():
        yield either("names", f"data: {name}", named(text))
    for name, text in NAMES.items():
        if not text.strip():
            continue

        def target(place: Place, text: str = text) -> None:
            put(place, named(text))
            place.refuse(place.run("data", {"window.target": "absent"}))

        yield Case("input", "names", f"in an error: {name}", target)
    for name in ("=HYPERLINK", "=cmd", "+", "-", "@", "an image", "rich markup", "a comma", "an ANSI colour", "U+0085",
                 "U+2028", "U+202E", "a line break", "Chinese", "a format field", "a percent sign", "a bar",
                 "a forged log line", "5,000 letters", "`lower_80`", "a number"):  # fmt: skip

        def through(place: Place, text: str = NAMES[name]) -> None:
            put(place, named(text))
            outcome = place.either(place.run("train"))
            if outcome.status == 0:
                place.work(place.run("forecast"))
                place.work(place.run("evaluate"))
                place.work(place.watch())
                need("<img src=x" not in (place.outputs / "watch.html").read_text("utf-8"), "markup in watch.html")

        yield Case("input", "names", f"train, forecast, watch: {name}", through)
    for name in ("U+0085", "U+2028", "a line break", "an ANSI colour", "U+001C", "a quote"):

        def journal(place: Place, text: str = NAMES[name]) -> None:
            put(place, named(text))
            for steps in (5, 6):
                outcome = place.either(place.run("retrain", {"training.max_steps": steps}, base=harness.EASY))
                if outcome.status == 1:
                    return
            lines = place.csv.read_text(encoding="utf-8").rstrip("\n").split("\n")
            text = "\n".join([*lines[:-3], *(one.rsplit(",", 2)[0] + ",99999,99999" for one in lines[-3:])])
            place.csv.write_bytes(text.encode())
            params = {"gates.range_deviations": 3, "training.max_steps": 7}
            need(place.run("retrain", params, base=harness.EASY).status in (1, 3), "values far away were promoted")
            place.decent(place.last)  # type: ignore[arg-type]
            place.work(place.run("rollback", base=harness.EASY))

        yield Case("input", "names", f"in a refusal of retrain, then rollback: {name}", journal)

    def page(place: Place) -> None:
        place.take("trained")
        store = place.root / "06_models/checkpoints"
        folder = next(path for path in store.iterdir() if path.is_dir())
        folder.rename(store / "<img src=x onerror=alert(1)>")
        place.work(place.watch())
        need("<img src=x" not in (place.outputs / "watch.html").read_text("utf-8"), "markup in watch.html")

    yield Case("input", "names", "a run folder named <img …>, watch", page)


# ── the library

LIBRARY = """
import sys, pandas as pd
from timellm_pipeline.model.timellm import TimeLLM
frame = pd.read_csv(sys.argv[2])
model = TimeLLM.load(sys.argv[1])
{change}
made = model.forecast(frame)
import numpy as np
assert np.isfinite(made["forecast"].to_numpy(dtype=float)).all(), "not finite"
print(len(made), "rows")
"""
ENDING = "    sys.exit(f'error: {error}')"
CHANGES: dict[str, tuple[str, bool | None]] = {
    "good": ("", True),
    "dates parsed": ("frame['date'] = pd.to_datetime(frame['date'])", True),
    "rows out of order": ("frame = frame.sample(frac=1, random_state=0)", True),
    "an odd index": ("frame.index = ['x'] * len(frame)", True),
    "one more channel": ("frame['more'] = 1.0", True),
    "columns in another order": ("frame = frame[frame.columns[::-1]]", True),
    "empty": ("frame = frame.head(0)", False),
    "too short": ("frame = frame.tail(20)", False),
    "a channel missing": ("frame = frame.drop(columns=frame.columns[1])", False),
    "inf": ("frame.iloc[-1, 1] = float('inf')", False),
    "1e200": ("frame.iloc[-1, 1] = 1e200", False),
    "1e30": ("frame.iloc[-1, 1] = 1e30", False),
    "NaN": ("frame.iloc[-1, 1] = float('nan')", False),
    "text": ("frame['OT'] = 'x'", False),
    "a doubled column": ("frame = pd.concat([frame, frame[['OT']]], axis=1)", False),
    "no dates": ("frame = frame.drop(columns='date')", False),
    "another frequency": ("frame['date'] = pd.date_range('2020-01-01', periods=len(frame), freq='D')", False),
    "a doubled row": ("frame = pd.concat([frame, frame.tail(1)])", False),
    "a list of columns": ("frame.columns = pd.MultiIndex.from_product([['a'], frame.columns])", False),
    "rows in the future": ("frame['date'] = pd.date_range('2090-01-01', periods=len(frame), freq='h')", False),
}


def library() -> Iterator[Case]:
    """`TimeLLM.load(…).forecast(frame)`: an exception with a sentence, or finite numbers."""
    for name, (change, good_input) in CHANGES.items():

        def check(place: Place, change: str = change, good_input: bool | None = good_input) -> None:
            root = place.take("trained")
            (version,) = place.versions("06_models/timellm_model")
            folder = root / "06_models/timellm_model" / version / "timellm_model"
            wrapped = LIBRARY.format(change=change).replace("\n", "\n    ").strip()
            text = f"import sys\ntry:\n    {wrapped}\nexcept (ValueError, TypeError) as error:\n{ENDING}"
            if not good_input:
                text += f"\nexcept Exception as error:\n    assert hasattr(error, 'where'), error\n{ENDING}"
            outcome = place.script(text, str(folder), str(place.csv))
            if good_input:
                place.work(outcome, "rows")
            else:
                need(outcome.status == 1, f"status {outcome.status} instead of an exception")
                place.decent(outcome)
                need("error: " in outcome.err, "an exception without a message of ours")

        yield Case("input", "library", f"forecast(frame): {name}", check)


def cases() -> list[Case]:
    """Every case of this file."""
    return [*names(), *library()]
