"""Hostile inputs, wrong parameters, damaged states and faults against the real commands.

    python benchmarks/attack.py [--only TEXT] [--jobs 2] [--list] [--every N] [--fresh] [--self-check]

Each case runs `kedro run …`, `python -m timellm_pipeline watch …`, or the library, on a copy of the project in a
temporary folder. A case is right in one of two ways: success with finite results and the expected warnings, or an error
of three lines with status 1 (3 for a refused retraining), no traceback, no control characters, nothing published, and
nothing changed outside the data root. This program exits with status 1 if any case is wrong.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import attack_builders
import attack_command_lines
import attack_csv
import attack_damage
import attack_damaged_states
import attack_faults
import attack_inputs
import attack_links
import attack_names
import attack_parameters
import attack_series
import attack_signals
import attack_strangers
import attack_values
from attack_files import Wrong
from attack_harness import Case, Place, Result
from attack_server import Server
from attack_states import first_commands, prepare

INPUTS = (
    attack_inputs,
    attack_csv,
    attack_series,
    attack_values,
    attack_names,
    attack_parameters,
    attack_command_lines,
    attack_strangers,
)
FAULTS = (attack_damage, attack_damaged_states, attack_links, attack_faults, attack_signals)


def all_cases() -> list[Case]:
    """Every case, inputs and parameters first."""
    return [case for module in (*INPUTS, *FAULTS) for case in module.cases()]


def chosen(cases: Sequence[Case], only: str = "", every: int = 1) -> list[Case]:
    """The cases whose class or name contains a text; of each class the first and every n-th after it."""
    counts: dict[str, int] = defaultdict(int)
    found = []
    for case in cases:
        if only.lower() in f"{case.group}: {case.name}".lower():
            if counts[case.group] % every == 0:
                found.append(case)
            counts[case.group] += 1
    return found


def attack(cases: Sequence[Case], jobs: int = 2, fresh: bool = False, quiet: bool = False) -> list[Result]:
    """Run the cases in a temporary folder, and print each wrong one when it ends."""
    work = Path(tempfile.mkdtemp(prefix="attack-"))

    def on_result(result: Result) -> None:
        if result.wrong and not quiet:
            print(f"!! {result.group}: {result.name}\n   {result.wrong}", flush=True)
            print("   " + result.tail.replace("\n", "\n   ").strip(), flush=True)

    try:
        server = Server(work, jobs, fresh)
        server.warm(first_commands)
        prepare(server)
        return server.run(cases, on_result)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def attack_in_new_process(every: int = 1, only: str = "", self_check: bool = False) -> list[Result]:
    """As `attack`, for a program that has imported libraries and started threads itself, such as pytest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.json")
        words = [sys.executable, __file__, "--every", str(every), "--only", only, "--json", str(path)]
        words += ["--self-check"] * self_check
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if not path.exists():
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        return [Result(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def planted() -> list[Case]:
    """Cases that are wrong on purpose: the harness must count every one of them as wrong."""

    def talk(*lines: str, status: int = 1) -> None:
        print(*lines, sep="\n", file=sys.stderr)
        sys.exit(status)

    three = ("Error: x", "  where: y", "  do:    z")

    def harm(place: Place) -> None:
        (place.victims / "precious.txt").write_text("changed", encoding="utf-8")
        talk(*three)

    def leave(place: Place) -> None:
        (place.root / "a/.partial-x").mkdir(parents=True)
        talk(*three)

    def blank(place: Place) -> None:
        place.take("trained")
        place.work(place.run("forecast"))
        path = place.newest("07_model_output/forecast.csv")
        header, first, *rest = path.read_text(encoding="utf-8").split("\n")
        cells = first.split(",")
        cells[header.split(",").index("forecast")] = ""
        path.write_text("\n".join([header, ",".join(cells), *rest]), encoding="utf-8")
        place.forecast()

    def mistake() -> None:
        raise RuntimeError("x")

    checks = {
        "a good input that should be refused": attack_builders.refused("", "", attack_builders.GOOD).check,
        "an empty file that should work": attack_builders.works("", "", b"").check,
        "a traceback": lambda p: p.refuse(p.call(mistake)),
        "four lines": lambda p: p.refuse(p.call(lambda: talk(*three, "more"))),
        "status 2": lambda p: p.refuse(p.call(lambda: talk(*three, status=2))),
        "an escape": lambda p: p.refuse(p.call(lambda: talk("Error: \x1b[31mx", *three[1:]))),
        "U+2028": lambda p: p.refuse(p.call(lambda: talk("Error: \u2028x", *three[1:]))),
        "a word that is missing": lambda p: p.refuse(p.call(lambda: talk(*three)), "excel"),
        "a changed victim": lambda p: p.refuse(p.call(lambda: harm(p))),
        "a partial folder": lambda p: p.refuse(p.call(lambda: leave(p))),
        "a blank forecast": blank,
        "no end": lambda p: p.refuse(p.start_call(lambda: time.sleep(60)).wait(1.0)),
    }  # fmt: skip
    right = Case(
        "input", "planted right", "three lines", lambda p: (p.refuse(p.call(lambda: talk(*three)), "x"), None)[1]
    )
    return [right, *(Case("input", "planted wrong", name, check) for name, check in checks.items())]


def report(results: Sequence[Result], seconds: float) -> None:
    """Print how many cases of each class were tried, right and wrong, and one line for all."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.kind, result.group].append(result)
    print(f"\n{'class':<28}{'tried':>7}{'right':>7}{'wrong':>7}")
    for (_, group), those in groups.items():
        tried = [one for one in those if one.skipped is None]
        wrong = sum(one.wrong is not None for one in tried)
        skipped = f"   {len(those) - len(tried)} skipped" if len(those) > len(tried) else ""
        print(f"{group:<28}{len(tried):>7}{len(tried) - wrong:>7}{wrong:>7}{skipped}")
    for reason in sorted({one.skipped for one in results if one.skipped}):
        names = [one.name for one in results if one.skipped == reason]
        print(f"skipped: {reason}: {len(names)} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})")
    tried = [one for one in results if one.skipped is None]
    inputs = sum(one.kind == "input" for one in tried)
    wrong = sum(one.wrong is not None for one in tried)
    slowest = max((one for one in tried if one.kind == "input"), key=lambda one: one.slowest, default=None)
    last = f"; slowest answer {slowest.slowest:.1f} s ({slowest.group}: {slowest.name})" if slowest else ""
    print(f"{seconds:.0f} s in all")
    print(f"attack: {inputs} inputs and parameters, {len(tried) - inputs} faults, {wrong} wrong{last}")


def main() -> int:
    """Run the cases; status 1 when one of them is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run only cases whose class or name contains this text")
    parser.add_argument("--every", type=int, default=1, help="run only every n-th case of each class")
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--fresh", action="store_true", help="a new interpreter for each command (slow)")
    parser.add_argument("--self-check", action="store_true", help="check that wrong cases are counted as wrong")
    parser.add_argument("--json", type=lambda text: Path(text).resolve(), help="also write the results there")
    options = parser.parse_args()
    cases = planted() if options.self_check else chosen(all_cases(), options.only, options.every)
    if options.list:
        for case in cases:
            print(f"{case.kind}  {case.group}: {case.name}")
        print(f"{len(cases)} cases")
        return 0
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # clean up first
    started = time.perf_counter()
    try:
        results = attack(cases, options.jobs, options.fresh, quiet=options.self_check)
    except Wrong as wrong:
        print(f"the cases cannot be prepared: {wrong}")
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(one) for one in results]), encoding="utf-8")
    report(results, time.perf_counter() - started)
    if options.self_check:
        missed = [one.name for one in results if (one.wrong is None) == (one.group == "planted wrong")]
        print(f"self-check: {len(results) - len(missed)} of {len(results)} planted cases counted correctly {missed}")
        return int(bool(missed))
    return int(any(one.wrong for one in results))


if __name__ == "__main__":
    sys.exit(main())
