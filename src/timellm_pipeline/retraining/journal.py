"""The decision journal: one JSON line per decision, appended and flushed. Only the journal determines the champion.

A decision takes effect when its line is complete on disk: that is the only commit point of a retraining and of a
rollback. A line that cannot be read is logged and skipped, so that one damaged line does not block the others.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from timellm_pipeline.files import append_line
from timellm_pipeline.retraining.live import LiveErrors

log = logging.getLogger(__name__)

_reported: set[tuple[str, tuple[int, ...]]] = set()  # damaged lines that were logged
PROMOTED, REFUSED, ROLLED_BACK = "promoted", "refused", "rolled back"
LINE_SEPARATORS = {char: f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}  # some programs break lines at them


def _valid_or_none(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """A valid value or None: errors that cannot be read must not cost a decision."""
    try:
        return validate(value)
    except ValidationError:
        return None


class Decision(BaseModel):
    """One line of the journal.

    Attributes:
        decision: `promoted`, `refused` or `rolled back`.
        version: the candidate's model version, or the one that a rollback restored; None if nothing was trained.
        work: digest of what is trained, without the initial weights.
        basis: digest of everything that can change the decision: `work`, gates, scoring and champion.
        gates: value and limit of every gate.
        live: errors of the champion of that time on values that arrived after its promotion.
        from_version: the version that a rollback replaced.
        line: number of the line, counted from 1; not written to the file.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    time: str
    decision: str
    version: str | None = None
    work: str | None = None
    basis: str | None = None
    reason: str | None = None
    training_id: str | None = None
    test_mse: float | None = None
    newest_row: str | None = None
    gates: list[dict[str, Any]] = []
    live: Annotated[LiveErrors | None, WrapValidator(_valid_or_none)] = None
    from_version: str | None = None
    line: int = 0

    @property
    def changes_champion(self) -> bool:
        """Whether the decision makes another version the champion."""
        return self.decision in (PROMOTED, ROLLED_BACK) and self.version is not None

    def facts(self) -> dict[str, Any]:
        """The fields that are written: those that were set and are not None, without `line`."""
        return self.model_dump(mode="json", exclude={"line"}, exclude_none=True, exclude_unset=True)


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
        """The journal in a file, empty if there is no file. Raises OSError for a file that cannot be opened."""
        if not path.exists():
            return cls((), 0, ())
        # Only \n ends a line: a channel's name may contain other line separators.
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
        """Versions that were champion, oldest first. A rollback removes the newest one."""
        champions: list[str] = []
        for decision in self.decisions:
            if not decision.changes_champion or decision.version is None:
                continue
            if decision.decision == ROLLED_BACK:
                champions = _before(champions, decision.from_version)
                champions = _before(champions, decision.version)
            champions.append(decision.version)
        return champions

    def last_change(self) -> Decision | None:
        """The decision that made the current champion, or None."""
        return next((decision for decision in reversed(self.decisions) if decision.changes_champion), None)

    def find_basis(self, basis: str) -> Decision | None:
        """The newest decision with this basis, or None."""
        return next((decision for decision in reversed(self.decisions) if decision.basis == basis), None)

    def promotion(self, version: str) -> Decision | None:
        """The decision that promoted a version, or None if its line was damaged."""
        promoted = (one for one in reversed(self.decisions) if one.decision == PROMOTED and one.version == version)
        return next(promoted, None)

    def rolled_back(self) -> list[Decision]:
        """The promotions that a rollback has undone."""
        undone = {one.from_version for one in self.decisions if one.decision == ROLLED_BACK}
        return [one for one in self.decisions if one.decision == PROMOTED and one.version in undone]

    def training_ids(self) -> set[str]:
        """Training ids of all decisions."""
        return {decision.training_id for decision in self.decisions if decision.training_id}


def append(path: Path, decision: Decision) -> None:
    """Append a decision to the journal. After this returns, it is on disk.

    Raises StorageError when the file is a link, OSError when the disk is full.
    """
    text = json.dumps(decision.facts(), ensure_ascii=False)
    for separator, escaped in LINE_SEPARATORS.items():
        text = text.replace(separator, escaped)
    append_line(path, text)


def _before(champions: Iterable[str], version: str | None) -> list[str]:
    """The champions before a version; all of them if the version is missing because its line was damaged."""
    names = list(champions)
    return names[: names.index(version)] if version in names else names
