"""History of the champions, read from the decision journal and the newest report: no model or data is loaded."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from timellm_pipeline.durations import format_duration
from timellm_pipeline.errors import ModelError
from timellm_pipeline.retraining.journal import Decision
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.versions import Versions

LATE = 2  # a retraining is late after this many usual intervals
RECENT = 8  # decisions whose longest interval is the usual one: runs by hand are closer together
SHORTEST = 3600  # seconds; a shorter interval is not that of a schedule


@dataclass(frozen=True)
class Entry:
    """A decision, with the time of its data.

    Attributes:
        newest_row: newest row of the data at the decision; for a rollback, that of the decision before.
    """

    decision: Decision
    newest_row: str

    @property
    def kind(self) -> str:
        """The decision; `refused before training` if data gates refused."""
        before = self.decision.decision == "refused" and self.decision.version is None
        return "refused before training" if before else self.decision.decision


@dataclass(frozen=True)
class ChampionPeriod:
    """The time of one champion.

    Attributes:
        start: the decision that made it the champion.
        until: time of the decision that replaced it; None for the present champion.
        test_mse: test MSE at its promotion, in its own scaled units.
        live: the decisions that scored it on values after its promotion.
    """

    version: str
    start: Decision
    until: str | None
    test_mse: float | None
    live: tuple[Entry, ...]


@dataclass(frozen=True)
class History:
    """Decisions, oldest first, and the report of the newest retraining, which may have found nothing new.

    Attributes:
        champion: version of the champion.
        damaged: numbers of the lines of the journal that cannot be read.
    """

    entries: tuple[Entry, ...]
    report: dict[str, Any] | None
    now: datetime
    champion: str | None = None
    damaged: tuple[int, ...] = ()

    @classmethod
    def read(cls, data_root: Path, now: datetime | None = None) -> "History":
        """The history of a data folder. Raises ModelError if nothing was decided there."""
        registry = Registry(data_root / "06_models")
        entries: list[Entry] = []
        journal, newest_row = registry.journal(), ""
        for decision in journal.decisions:
            newest_row = decision.newest_row or newest_row
            entries.append(Entry(decision, newest_row))
        if not entries:
            raise ModelError(
                "there is no decision of a retraining yet",
                where=str(data_root),
                do="retrain first (kedro run --pipeline retrain), or set the folder of its results: --data-root PATH",
            )
        current, time = registry.champion(), now or datetime.now(UTC)
        version = current.version if current else None
        return cls(tuple(entries), _newest_report(data_root), time, version, journal.damaged)

    def champions(self) -> list[ChampionPeriod]:
        """All champions, oldest first. A version that a rollback restored has a time of its own."""
        starts = [entry for entry in self.entries if entry.decision.changes_champion]
        found = []
        for number, start in enumerate(starts):
            version = str(start.decision.version)
            end = starts[number + 1].decision if number + 1 < len(starts) else None
            last = end.line if end else self.entries[-1].decision.line
            live = [entry for entry in self.entries if start.decision.line < entry.decision.line <= last]
            promotion = next((one for one in starts if one.decision.version == version), start)
            found.append(
                ChampionPeriod(
                    version,
                    start.decision,
                    end.time if end else None,
                    promotion.decision.test_mse,
                    tuple(entry for entry in live if entry.decision.live is not None),
                )
            )
        return found

    def live(self) -> pd.DataFrame:
        """Live errors, one row for each retraining that scored its champion."""
        levels = ("80", "95")
        rows = [
            (entry.newest_row, period.version, number, live.mse, live.seasonal_naive, *map(live.inside.get, levels))
            for number, period in enumerate(self.champions())
            for entry in period.live
            if (live := entry.decision.live) is not None
        ]
        columns = ["newest_row", "champion", "period", "mse", "seasonal_naive", "inside_80", "inside_95"]
        return pd.DataFrame(rows, columns=columns)

    def decisions(self) -> pd.DataFrame:
        """Newest row and kind of every decision."""
        rows = [{"newest_row": entry.newest_row, "kind": entry.kind} for entry in self.entries]
        return pd.DataFrame(rows, columns=["newest_row", "kind"])

    def facts(self) -> dict[str, str]:
        """What to read first: champion, its live errors, the newest retraining, age of the data."""
        champions, last = self.champions(), self.entries[-1].decision
        facts = {"champion": f"version {self.champion}" if self.champion else "none yet"}
        if champions and champions[-1].version == self.champion:
            period = champions[-1]
            facts["champion"] += f", {self._ago(period.start.time)}"
            facts["its error after promotion"] = _describe_live(period.live[-1]) if period.live else "not known yet"
        if self.damaged:
            facts["damaged lines"] = f"{', '.join(map(str, self.damaged))} of decisions.jsonl cannot be read"
        facts["newest decision"] = f"{self.entries[-1].kind}, {self._ago(last.time)}: {last.reason or ''}".rstrip(": ")
        if self.report is not None:
            time = self.report.get("time")
            facts["newest retraining"] = f"{self.report['decision']}, {self._ago(time)}" + self._lateness(time)
            age = self.report.get("newest_row_age")
            if isinstance(age, int | float):
                age = max(age + (self._seconds_since(time) or 0), 0)
                facts["newest row"] = f"{self.report['newest_row']}, {format_duration(age)} ago"
        return facts

    def _lateness(self, time: str | None) -> str:
        """A remark if the newest retraining is older than usual; empty if it is not, or if the interval is unknown."""
        found = (self._seconds_since(entry.decision.time) for entry in self.entries if entry.kind != "rolled back")
        ages = [age for age in found if age is not None][-RECENT:]
        usual = max((before - after for before, after in pairwise(ages)), default=0.0)
        since = self._seconds_since(time)
        if since is None or usual < SHORTEST or since <= LATE * usual:
            return ""
        return f" (LATE: the usual interval is {format_duration(usual)}; check the schedule)"

    def _ago(self, time: str | None) -> str:
        since = self._seconds_since(time)
        return "at an unknown time" if since is None else f"{format_duration(max(since, 0))} ago"

    def _seconds_since(self, time: str | None) -> float | None:
        try:
            return (self.now - datetime.fromisoformat(str(time))).total_seconds()
        except (ValueError, TypeError):  # no time stamp, or one without a zone
            return None


def _describe_live(entry: Entry) -> str:
    """The live errors of a decision in a sentence."""
    live = entry.decision.live
    if live is None:
        return "not known yet"
    inside = ", ".join(f"{share:.1%} inside the {level} % interval" for level, share in live.inside.items())
    ratio = f"{live.mse / live.seasonal_naive:.3f} times the MSE of seasonal naive" if live.seasonal_naive else ""
    listed = ", ".join(part for part in (f"MSE {live.mse:.4f}", ratio, inside) if part)
    return f"{listed} ({live.origins:,} origins, {live.first} to {live.last})"


def _newest_report(data_root: Path) -> dict[str, Any] | None:
    """The newest `retrain_report`, or None if it is missing or damaged."""
    versions = Versions(data_root / "08_reporting" / "retrain_report.json")
    try:
        report = json.loads(versions.place(versions.newest()).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) and "decision" in report else None
