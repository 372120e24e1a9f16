"""The decision journal: one JSON line a decision, appended and flushed. It alone says which model is the champion.

A decision counts once its line is complete on the disk: that is the single commit point of a retraining and of a
rollback. A line that cannot be read is named in the log and skipped, so that one damaged line does not block the rest.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from timellm_pipeline.files import append_line

log = logging.getLogger(__name__)

_reported: set[tuple[str, tuple[int, ...]]] = set()  # damaged lines that the log names already
PROMOTED, ROLLED_BACK = "promoted", "rolled back"
LINE_SEPARATORS = {one: f"\\u{ord(one):04x}" for one in "\x85\u2028\u2029"}  # some programs break lines at them


class Decision(BaseModel):
    """One line of the journal.

    Attributes:
        decision: `promoted`, `refused` or `rolled back`.
        version: the candidate's model version, or the one that a rollback returned to; None where nothing was trained.
        work: digest of what was to be trained, to recognise the same work.
        from_version: the version that a rollback left.
        line: number of the line, counted from 1; not written.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    time: str
    decision: str
    version: str | None = None
    work: str | None = None
    reason: str | None = None
    training_id: str | None = None
    test_mse: float | None = None
    newest_row: str | None = None
    from_version: str | None = None
    line: int = 0

    @property
    def changes_champion(self) -> bool:
        """Whether another version is the champion after it."""
        return self.decision in (PROMOTED, ROLLED_BACK) and self.version is not None

    def facts(self) -> dict[str, Any]:
        """What is written, without fields that say nothing."""
        return self.model_dump(mode="json", exclude={"line"}, exclude_none=True)


@dataclass(frozen=True)
class Journal:
    """The decisions that could be read, oldest first.

    Attributes:
        num_lines: lines of the file, damaged ones included.
        damaged: numbers of the lines that cannot be read.
    """

    decisions: tuple[Decision, ...]
    num_lines: int
    damaged: tuple[int, ...]

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """The journal in a file; an empty one where there is no file. Raises OSError for one that cannot be opened."""
        if not path.exists():
            return cls((), 0, ())
        # Only \n ends a line: other line separators may stand inside a channel's name.
        lines = path.read_bytes().split(b"\n")
        decisions, damaged = [], []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                decisions.append(Decision.model_validate({**json.loads(line), "line": number}))
            except (ValueError, TypeError, ValidationError, RecursionError):
                damaged.append(number)
        if damaged and (str(path), tuple(damaged)) not in _reported:
            _reported.add((str(path), tuple(damaged)))
            log.warning("%s: line(s) %s cannot be read and are skipped", path, ", ".join(map(str, damaged)))
        return cls(tuple(decisions), len(lines) - (lines[-1] == b""), tuple(damaged))

    def champions(self) -> list[str]:
        """Versions that were champion, in their order. A rollback takes the newest one away."""
        line: list[str] = []
        for decision in self.decisions:
            if not decision.changes_champion or decision.version is None:
                continue
            if decision.decision == ROLLED_BACK:
                line = _before(line, decision.from_version)
                line = _before(line, decision.version)
            line.append(decision.version)
        return line

    def last_change(self) -> Decision | None:
        """The decision that made the present champion, or None."""
        return next((one for one in reversed(self.decisions) if one.changes_champion), None)

    def find_work(self, work: str) -> Decision | None:
        """The newest decision about this work, or None."""
        return next((one for one in reversed(self.decisions) if one.work == work), None)

    def training_ids(self) -> set[str]:
        """Trainings that decisions were about."""
        return {one.training_id for one in self.decisions if one.training_id}


def append(path: Path, decision: Decision) -> None:
    """Write a decision down. Once this returns, it is on the disk.

    Raises StorageError when the file is a link, OSError when the disk is full.
    """
    text = json.dumps(decision.facts(), ensure_ascii=False)
    for separator, escaped in LINE_SEPARATORS.items():
        text = text.replace(separator, escaped)
    append_line(path, text)


def _before(line: Iterable[str], version: str | None) -> list[str]:
    """The part of a list before a version; all of it where the version is not there (its line was damaged)."""
    names = list(line)
    return names[: names.index(version)] if version in names else names
