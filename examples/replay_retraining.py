"""Replay a year of weekly retrainings on a growing part of a real file, with everything that goes wrong in a year.

    python examples/replay_retraining.py --csv ETTh1.csv --weeks 52 [--folder PATH]

Each week is a real `kedro run --pipeline retrain`, with the default gates. The events of a year: a broken sensor, a
week without new rows, a renamed column, a change of the process that a new champion must learn, local time with
daylight saving, kills at random moments and inside the decision, a full disk, two schedulers at once, and a rollback.
Fewer than 40 weeks have the events of `SHORT`. After each week the invariants of `check` are asserted. Settings are
small, so that a year takes some 20 minutes on two cores: no language model unless --backbone names one. `--folder`
keeps all results and the history page.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from replay_faults import KILLED, Commands, Done

from timellm_pipeline.retraining.journal import Decision
from timellm_pipeline.retraining.registry import Registry

WEEK, ZONE = 168, "Europe/Berlin"  # rows of a week; the file has local time with its offset
YEAR = {
    5: "broken sensor",
    7: "no new rows",
    9: "renamed column",
    11: "killed in training",
    13: "killed at random",
    18: "killed at random",
    20: "two schedulers",
    23: "killed in the decision",
    27: "full disk",
    29: "killed at random",
    36: "rollback",
    40: "killed in the decision",
    44: "killed at random",
}
SHORT = {
    2: "no new rows",
    3: "broken sensor",
    4: "renamed column",
    5: "killed in training",
    6: "rollback",
    7: "killed in the decision",
    8: "two schedulers",
    9: "full disk",
}
CHANGE = 14  # week in which the process changes, in a year
KEEP_VERSIONS = 5  # conf/base/globals.yml


def settings(folder: Path, options: argparse.Namespace) -> str:
    """Parameters of every week."""
    params = {
        "raw_csv": (folder / "series.csv").as_posix(),
        "data_root": (folder / "data").as_posix(),
        "backbone.name": options.backbone,
        "backbone.layers": "null" if options.backbone == "none" else 1,
        "split.method": "recent",
        "window.seq_len": 168,
        "window.pred_len": 24,
        "window.window_step": 5,
        "training.max_steps": options.steps,
        "training.max_epochs": 50,
        "training.save_steps": 20,
        "evaluation.validation_step": 6,
        "evaluation.test_step": 6,
        "gates.prefer": options.prefer,
    }
    return ",".join(f"{name}={value}" for name, value in params.items())


class Replay:
    """The weeks of one replay.

    Args:
        folder: folder of the file and all results.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.year = options.weeks >= 40
        self.events = YEAR if self.year else SHORT
        self.table = read_with_offsets(options.csv)
        self.first_rows = len(self.table) - options.weeks * WEEK
        self.registry = Registry(folder / "data/06_models", KEEP_VERSIONS)
        self.commands = Commands(settings(folder, options), self.registry.root / "checkpoints")
        self.chance = random.Random(options.seed)
        self.duration = 10.0  # seconds of a usual week, for kills at random moments
        self.rows: list[dict[str, Any]] = []

    def run(self) -> pd.DataFrame:
        """All weeks."""
        for week in range(1, self.options.weeks + 1):
            event, started = self.events.get(week, ""), time.perf_counter()
            before = len(self.registry.journal().decisions)
            self.write_file(week, event)
            statuses = [done.status for done in self.retrain(event)]
            if event in ("broken sensor", "renamed column"):
                assert statuses == [3], f"week {week}: a file with a {event} must be refused, not {statuses}"
            report = newest(self.folder, "retrain_report.json")
            note = event + self.roll_back(event)
            if report.get("resumed_from"):
                note += f", resumed from step {report['resumed_from'][-1]}"
            seconds = time.perf_counter() - started
            self.duration = seconds if not event else self.duration
            decisions = self.registry.journal().decisions[before:]
            self.rows.append(describe(week, report, decisions, statuses, seconds, note))
            print(json.dumps(self.rows[-1], ensure_ascii=False), flush=True)
            self.check()
        return pd.DataFrame(self.rows)

    def write_file(self, week: int, event: str) -> None:
        """The file as it is in a week."""
        if event == "no new rows":
            return
        cut = self.table.iloc[: self.first_rows + WEEK * week].copy()
        if self.year and week >= CHANGE:
            cut = changed(cut, self.first_rows + WEEK * (CHANGE - 1))
        if event == "broken sensor":
            cut.loc[cut.index[-100:], "MULL"] = 999.0
        if event == "renamed column":
            cut = cut.rename(columns={"HULL": "HULL (kW)"})
        cut.to_csv(self.folder / "series.csv", index=False)

    def retrain(self, event: str) -> list[Done]:
        """The commands of a week: what goes wrong first, then the same command again."""
        commands, done = self.commands, []
        if event == "killed in training":
            done.append(commands.killed_in_training("retrain"))
        elif event == "killed at random":
            done.append(commands.killed_after("retrain", self.chance.uniform(0.2, 1.1) * self.duration))
        elif event == "killed in the decision":
            done.append(commands.killed_in_the_decision("retrain"))
            assert done[0].status == KILLED, done[0].errors[-2000:]
        elif event == "full disk":
            done.append(commands.on_a_full_disk("retrain", self.chance))
            assert done[0].status == 1 and "No space left" in done[0].errors, done[0].errors[-2000:]
        if event == "two schedulers":
            done = sorted(commands.two_at_once("retrain"), key=lambda one: one.status == 1)
            assert done[1].status == 1 and "another retraining is running" in done[1].errors, done[1].errors[-2000:]
            done.reverse()
        else:
            done.append(commands.run("retrain"))
        assert done[-1].status in (0, 3), done[-1].errors[-2000:]
        return done

    def roll_back(self, event: str) -> str:
        """Roll back, killed once inside its decision and run again. Returns what happened."""
        if event != "rollback":
            return ""
        champions = self.registry.journal().champions()
        if len(champions) < 2:
            return ": there is no previous champion"
        killed, again = self.commands.killed_in_the_decision("rollback"), self.commands.run("rollback")
        assert (killed.status, again.status) == (KILLED, 0), again.errors[-2000:]
        champion = self.registry.champion()
        assert champion is not None and champion.version == champions[-2], "a rollback goes back by one champion"
        return f" from {champions[-1]} to {champions[-2]}"

    def check(self) -> None:
        """The invariants, after each week."""
        journal, champion = self.registry.journal(), self.registry.champion()
        assert not journal.damaged, "every line of the journal can be read"
        pointer = self.registry.root / "champion.json"
        if champion is not None:
            self.registry.model(champion.version)  # verifies the digests of all files
            pointed = json.loads(pointer.read_text(encoding="utf-8"))["version"]
            assert pointed == champion.version == journal.champions()[-1], "journal and champion.json agree"
        kept = self.registry.versions.names()
        assert set(journal.champions()[-2:]) <= set(kept), "the version that a rollback needs is kept"
        for decision in journal.decisions:
            failed = [gate["gate"] for gate in decision.gates if gate["passed"] is False]
            assert (decision.decision == "refused") == bool(failed), f"line {decision.line} agrees with its gates"
        promoted = [decision.work for decision in journal.decisions if decision.decision == "promoted"]
        assert len(promoted) == len(set(promoted)), "nothing is promoted twice"
        assert len(kept) <= 2 * KEEP_VERSIONS, f"{len(kept)} model versions are kept"
        runs = [path for path in self.commands.checkpoints.iterdir() if path.is_dir()]
        assert len(runs) <= len(kept), f"{len(runs)} checkpoint folders for {len(kept)} versions"


def read_with_offsets(csv: Path) -> pd.DataFrame:
    """The file with local time stamps and their UTC offset, which changes twice a year."""
    table = pd.read_csv(csv)
    local = pd.to_datetime(table["date"]).dt.tz_localize("UTC").dt.tz_convert(ZONE)
    return table.assign(date=[stamp.isoformat() for stamp in local])


def changed(table: pd.DataFrame, first: int) -> pd.DataFrame:
    """The table with an oscillation of 36 hours in every channel from a row on, which no model has seen before."""
    wave = np.sin(2 * np.pi * np.arange(len(table)) / 36) * (np.arange(len(table)) >= first)
    channels = table.columns.drop("date")
    return table.assign(**{name: table[name] + 1.5 * table[name].iloc[:first].std() * wave for name in channels})


def newest(folder: Path, name: str) -> dict[str, Any]:
    """The newest report of that name."""
    path = max((folder / f"data/08_reporting/{name}").glob(f"*/{name}"))
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def describe(
    week: int,
    report: dict[str, Any],
    decisions: tuple[Decision, ...],
    statuses: list[int],
    seconds: float,
    note: str,
) -> dict[str, Any]:
    """One line of the table. The decision of a process that was killed after it is in the journal only."""
    decision = next((one for one in decisions if one.decision != "rolled back"), None)
    live = decision.live if decision else None
    failed = [gate["gate"] for gate in decision.gates if gate["passed"] is False] if decision else []
    shown = ["killed" if status == KILLED else str(status) for status in statuses]
    return {
        "week": week,
        "newest row": report["newest_row"][:10],
        "decision": decision.decision if decision else report["decision"],
        "candidate": decision.test_mse if decision else None,
        "champion": (report["champion"] or {}).get("test_mse"),
        "live": live.mse if live else None,
        "steps": report["steps_run"],
        "status": " then ".join(shown),
        "s": round(seconds),
        "why": "; ".join([*failed, *([note] if note else [])]),
    }


def final_checks(replay: Replay, found: pd.DataFrame) -> None:
    """What must hold at the end."""
    done = replay.commands.run("forecast")
    assert done.status == 0, done.errors[-2000:]
    if replay.year:
        learned = found[(found["week"] > CHANGE) & (found["decision"] == "promoted")]
        assert len(learned), "the change of the process must promote a candidate"
    size = sum(path.stat().st_size for path in (replay.folder / "data").rglob("*") if path.is_file())
    print(f"\nall invariants held after each of {len(found)} weeks; {size / 1e6:.0f} MB on disk")
    promoted = int((found["decision"] == "promoted").sum())
    print(f"{promoted} promotions, {len(replay.registry.journal().decisions)} decisions; the champion forecasts")


def main() -> None:
    """Replay, print the table, and write the history page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--weeks", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--backbone", default="none")
    parser.add_argument("--prefer", default="better", choices=["better", "fresh"])
    parser.add_argument("--folder", type=Path, help="folder for all results (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        replay = Replay(options, folder)
        found = replay.run()
        print("\n" + found.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="-"))
        final_checks(replay, found)
        command = [sys.executable, "-m", "timellm_pipeline", "history", "--data-root", str(folder / "data")]
        print("\n" + subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
