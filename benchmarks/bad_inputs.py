"""Every bad input with the message that it causes, each in a real `kedro run`.

    python benchmarks/bad_inputs.py [--only NAME]

Exits with status 1 if one of them ends with the wrong status, shows a traceback, or publishes a result.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from bad_long_inputs import (
    Change,
    long_csv,
    parts,
    same,
    unsorted,
    with_repeated,
    with_short,
    with_value,
    with_weeks,
)
from synthetic import synthetic_series

ROOT = Path(__file__).parents[1]
SMALL: dict[str, object] = {"window.seq_len": 48, "window.pred_len": 12, "backbone.name": "none"}
GOOD = synthetic_series(num_rows=400, seed=1).to_csv(index=False)
LINES = GOOD.splitlines()


@dataclass(frozen=True)
class Case:
    """A bad input: a file and parameters, and and whether it is refused or works with a warning."""

    name: str
    content: bytes | None = GOOD.encode()
    params: tuple[tuple[str, object], ...] = ()
    works: bool = False
    pipeline: str = "data"
    env: str = "base"
    file: str = "series.csv"
    parts: tuple[tuple[str, bytes], ...] = ()  # files of a folder, instead of `content`


def line(number: int, text: str) -> bytes:
    """The good file with one line (counted from 1) replaced."""
    return "\n".join([*LINES[: number - 1], text, *LINES[number:]]).encode()


def frame(change: str) -> bytes:
    """The good file with its table changed."""
    table = synthetic_series(num_rows=400, seed=1)
    if change == "index":
        return table.to_csv().encode()
    if change == "constant":
        table["HUFL"] = 3.0
    elif change == "empty":
        table["HUFL"] = float("nan")
    elif change == "unsorted":
        table = table.sample(frac=1, random_state=0)
    elif change == "wide":
        wide = pd.DataFrame({f"c{n}": range(60) for n in range(5002)})
        wide.insert(0, "date", pd.date_range("2020", periods=60, freq="h"))
        return wide.to_csv(index=False).encode()
    elif change == "chinese":
        table = table.rename(columns={"HUFL": "高负荷", "OT": "油温"})
    elif change == "zones":
        table["date"] = [f"{stamp}{'+01:00' if n < 200 else '+02:00'}" for n, stamp in enumerate(table["date"])]
    elif change == "decimal comma":
        return table.to_csv(index=False, sep=";", decimal=",").encode()
    return table.to_csv(index=False).encode()


def given(**params: object) -> tuple[tuple[str, object], ...]:
    """Parameters, with two underscores for a dot."""
    return tuple((name.replace("__", "."), value) for name, value in params.items())


GAP = "\n".join(LINES[:100] + LINES[103:]).encode()
FILES = [
    Case("missing file", None),
    Case("folder", None, given(raw_csv="data")),
    Case("empty file", b""),
    Case("header only", LINES[0].encode()),
    Case("no date column", GOOD.replace("date", "time", 1).encode()),
    Case("target absent", GOOD.replace("OT", "OTT", 1).encode()),
    Case("unparsable date", line(7, "yesterday,1,1,1,1,1,1,1")),
    Case("two UTC offsets", frame("zones")),
    Case("rows out of order", frame("unsorted"), works=True),
    Case("duplicate time stamp", line(9, LINES[7])),
    Case("gap, by default", GAP),
    Case("gap, data.gaps=interpolate", GAP, given(data__gaps="interpolate"), works=True),
    Case("gap, data.gaps=drop_windows", GAP, given(data__gaps="drop_windows"), works=True),
    Case("empty cell", line(9, LINES[8].rsplit(",", 1)[0] + ",")),
    Case("infinite value", line(9, LINES[8].rsplit(",", 1)[0] + ",inf")),
    Case("text in a channel", line(9, LINES[8].rsplit(",", 1)[0] + ",n.a.")),
    Case("thousands separator", line(9, LINES[8].rsplit(",", 1)[0] + ',"1,234.5"')),
    Case("decimal comma in quotes", line(9, LINES[8].rsplit(",", 1)[0] + ',"3,25"')),
    Case("semicolons and decimal commas", frame("decimal comma"), works=True),
    Case("constant channel", frame("constant"), works=True),
    Case("channel without a value", frame("empty")),
    Case("UTF-8 with a byte order mark", GOOD.encode("utf-8-sig"), works=True),
    Case("UTF-16", GOOD.encode("utf-16"), works=True),
    Case("Latin-1 header", GOOD.replace("HUFL", "été").encode("latin-1"), works=True),
    Case("Chinese column names", frame("chinese"), given(window__target="油温"), works=True),
    Case(
        "Chinese column names in GBK",
        frame("chinese").decode().encode("gb18030"),
        given(window__target="油温"),
        works=True,
    ),
    Case("Chinese path", GOOD.encode(), works=True, file="数据/序列 一.csv"),
    Case("CRLF", GOOD.replace("\n", "\r\n").encode(), works=True),
    Case("quoted numbers", line(9, ",".join(f'"{cell}"' for cell in LINES[8].split(","))), works=True),
    Case("index column of to_csv", frame("index"), works=True),
    Case("5,002 columns", frame("wide")),
    Case("more fields than columns", line(9, LINES[8] + ",1")),
    Case("a name twice", GOOD.replace("HULL", "HUFL", 1).encode()),
    Case("bytes that are not text", bytes(range(256)) * 8),
    Case("too few rows for the borders", GOOD.encode(), given(split__method="ett_hour")),
    Case("too few rows for one window", GOOD.encode(), given(window__seq_len=336)),
    Case("horizon longer than the test", GOOD.encode(), given(window__pred_len=96)),
    Case("frequency is unknown", "\n".join(LINES[:3]).encode()),
    Case("a stamp between two steps", line(9, LINES[8].replace(":00:00", ":30:00", 1))),
    Case("a value that cannot be scaled", line(390, LINES[389].rsplit(",", 1)[0] + ",1e300")),
    Case("damaged gzip", b"\x1f\x8b\x08nothing", file="series.csv.gz"),
]
LONG_WINDOW = given(window__seq_len=28, window__pred_len=7)
KNOWN = (*LONG_WINDOW, *given(data__known_columns="[promotion]", data__static_columns="[region]"))


def long_case(name: str, change: Change, works: bool = False, params: tuple[tuple[str, object], ...] = ()) -> Case:
    """A case of a long CSV file."""
    return Case(name, long_csv(change, with_known=params == KNOWN), params or LONG_WINDOW, works)


def folder_case(name: str, change: Change, works: bool = False) -> Case:
    """A case of a folder of long Parquet files, the second of which is changed."""
    return Case(name, None, LONG_WINDOW, works, file="sales", parts=tuple(parts(same, change, same).items()))


LONG = [
    long_case("long", same, works=True),
    long_case("long: an id and a time stamp twice", with_repeated),
    long_case("long: unsorted", unsorted, works=True),
    long_case("long: days and weeks", with_weeks),
    long_case("long: an id is missing", with_value(100, "unique_id", None)),
    long_case("long: a value is missing", with_value(100, "y", None)),
    long_case("long: a wrong time stamp", with_value(100, "ds", "yesterday")),
    long_case("long: a series of one row", with_short, works=True),
    long_case("long: known columns", same, works=True, params=KNOWN),
    long_case("long: a known value is missing", with_value(100, "promotion", None), params=KNOWN),
    long_case("long: a static column changes", with_value(100, "region", "south"), params=KNOWN),
    folder_case("folder of long Parquet", same, works=True),
    folder_case("folder: an empty part", lambda table: table.head(0), works=True),
    folder_case("folder: a part with another schema", lambda table: table.rename(columns={"y": "sales"})),
    folder_case("folder: a part with other types", lambda table: table.astype({"y": str})),
]
PARAMETERS = [
    Case("misspelt group", params=given(trainning__batch_size=2)),
    Case("misspelt key", params=given(window__seqlen=2)),
    Case("patch longer than the window", params=given(window__patch_len=64)),
    Case("stride 0", params=given(window__stride=0)),
    Case("batch size 0", params=given(training__batch_size=0)),
    Case("batch larger than the training set", params=given(training__batch_size=99_999)),
    Case("several at once", params=given(window__stride=0, training__batch_size="many", model__dropout=2)),
    Case("a batch of `true` windows", params=given(training__batch_size="true")),
    Case("accumulate beyond max_steps", params=given(training__accumulate=9, training__max_steps=3)),
    Case("fp16 on a CPU", params=given(training__precision="fp16"), pipeline="train"),
    Case("vocabulary without one", params=given(model__prototypes="vocabulary")),
    Case("unknown pandas option", params=given(data__csv__seperator="x")),
    Case("unknown level", params=given(forecast__levels="[33]"), pipeline="forecast"),
    Case("no model to forecast with", pipeline="forecast"),
    Case("no checkpoint to publish", pipeline="publish"),
    Case("Llama 3, unreachable, and a bad parameter", params=given(window__stride=0), env="etth1_llama3"),
]
BACKBONES = [
    Case("no such folder", params=given(backbone__name="./no/such/folder"), pipeline="train"),
    Case("hub id without a commit", params=given(backbone__name="openai-community/gpt2-xl"), pipeline="train"),
    Case(
        "unreachable hub",
        params=(
            ("backbone.name", "Qwen/Qwen2.5-0.5B"),
            ("backbone.revisions", {"Qwen/Qwen2.5-0.5B": "060db6499f32faf8b98477b0a26969ef7d8b9987"}),
        ),
        pipeline="train",
    ),
    Case("more layers than there are", params=given(backbone__name="smollm2", backbone__layers=99), pipeline="train"),
    Case("folder without weights", params=given(backbone__name="data"), pipeline="train"),
]


def run(case: Case, folder: Path) -> tuple[int, float, str]:
    """Exit status, seconds, and what was printed."""
    path = folder / case.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if case.content is not None:
        path.write_bytes(case.content)
    for name, content in case.parts:
        path.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
    params = {**SMALL, "raw_csv": path.as_posix(), "data_root": (folder / "results").as_posix(), **dict(case.params)}
    config = folder / "config.yml"
    nested: dict[str, object] = {}
    for name, value in params.items():
        group, _, key = name.partition(".")
        parsed = yaml.safe_load(value) if isinstance(value, str) and value[:1] in "[t" else value
        if not key:
            nested[name] = parsed
            continue
        inside: dict[str, object] = nested.setdefault(group, {})  # type: ignore[assignment]
        key, _, option = key.partition(".")
        inside[key] = {option: parsed} if option else parsed
    config.write_text(
        yaml.safe_dump({"run": {"pipelines": case.pipeline, "params": nested}}, allow_unicode=True), encoding="utf-8"
    )
    started = time.perf_counter()
    command = [sys.executable, "-m", "kedro", "run", "--config", str(config), "--env", case.env]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "4000", "HF_HUB_OFFLINE": "1"},
    )
    return done.returncode, time.perf_counter() - started, done.stdout + done.stderr


def message_of(case: Case, text: str) -> str:
    """The lines of the error, or the warnings of an input that works."""
    lines = text.splitlines()
    if not case.works:
        start = next((n for n, one in enumerate(lines) if one.startswith("Error: ")), None)
        return "\n".join(lines[start : start + 3]) if start is not None else "(no message)\n" + text[-1500:]
    words = (
        "read as",
        "read with",
        "sorted",
        "left out",
        "filled in",
        "hardly change",
        "row numbers",
        "few rows",
        "no rows",
    )
    return "works" + "".join("; " + one.split("  ", 1)[-1] for one in lines if any(word in one for word in words))


def main() -> int:
    """Print the message of each case; status 1 if one ends with the wrong status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    wrong = []
    slowest = 0.0
    cases = [case for case in FILES + LONG + PARAMETERS + BACKBONES if options.only in case.name]
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            status, seconds, text = run(case, folder)
            models = list((folder / "results").glob("06_models/timellm_model/*"))
            partial = list(folder.rglob(".partial-*"))
            message = message_of(case, text).replace(folder.as_posix() + "/", "").replace(str(folder) + "/", "")
        good = (status == 0) == case.works and "Traceback" not in text and not models and not partial
        good = good and (case.works or message.startswith("Error: "))
        if not good:
            wrong.append(case.name)
        slowest = max(slowest, seconds if not case.works else 0)
        print(f"{'' if good else '!! '}{case.name}  [status {status}, {seconds:.1f} s]")
        print("   " + message.replace("\n", "\n   "), flush=True)
    print(f"\n{len(cases)} cases, {len(wrong)} wrong {wrong}; slowest refusal {slowest:.1f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
