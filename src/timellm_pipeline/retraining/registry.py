"""The registry of champions: which model version forecasts, and how it was chosen.

<root>/decisions.jsonl    the decision journal, the only truth (journal.py)
<root>/champion.json      a cache of its newest champion for other tools, repaired at the next retraining or rollback
<root>/timellm_model/     the model versions
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from timellm_pipeline.errors import CheckpointError, ModelError, TrainingError
from timellm_pipeline.files import exclusive, remove_folder, write_atomic
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.retraining.journal import ROLLED_BACK, Decision, Journal, append
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.finished import read_finished
from timellm_pipeline.versions import Versions

log = logging.getLogger(__name__)

POINTER, DECISIONS, MODELS = "champion.json", "decisions.jsonl", "timellm_model"


class Champion(BaseModel):
    """The model version that forecasts.

    Attributes:
        decided_in: line of the journal that made it the champion; 0 in pointers of older versions of this package.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str
    training_id: str | None
    since: str
    decided_in: int = 0


@dataclass(frozen=True)
class Registry:
    """The handle behind the catalog entry `registry`.

    Attributes:
        keep_versions: newest model versions that stay after a retraining; None keeps all.
    """

    root: Path
    keep_versions: int | None = None

    @property
    def versions(self) -> Versions:
        """The model versions."""
        return Versions(self.root / MODELS)

    def journal(self) -> Journal:
        """Every decision that can be read."""
        return Journal.read(self.root / DECISIONS)

    def champion(self) -> Champion | None:
        """The champion, or None while there is none."""
        return _champion(self.journal(), self._pointer())

    def model(self, version: str) -> SavedModel:
        """A model version. Raises ModelError when it is missing or damaged."""
        if not self.versions.place(version).is_dir():
            raise ModelError(
                f"model version {version} is not there",
                where=str(self.root / MODELS),
                do="restore that folder, or return to the champion before: kedro run --pipeline rollback",
            )
        return SavedModel.read(self.versions.place(version))

    @contextmanager
    def candidate(self, model: TrainedModel, version: str) -> Iterator[SavedModel]:
        """Save a candidate as a model version. While it is scored and decided about, nobody deletes it."""
        mark = self.versions.publish(version, model.write)
        try:
            yield self.model(version)
        finally:
            if mark is not None:
                mark.release()

    def decide(self, decision: str, version: str | None, **facts: Any) -> None:
        """Write a decision down, which commits it, then refresh the pointer."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.root.mkdir(parents=True, exist_ok=True)
        append(self.root / DECISIONS, Decision(time=now, decision=decision, version=version, **facts))
        self.repair()

    def repair(self) -> bool:
        """Make the pointer say what the journal says. Returns whether it did not. Call it under the lock."""
        pointer = self._pointer()
        champion = _champion(self.journal(), pointer)
        if champion is None or champion == pointer:
            return False
        write_atomic(self.root / POINTER, champion.model_dump_json(indent=1).encode())
        changed = pointer is None or pointer.version != champion.version
        if changed:
            log.info("the champion is now version %s", champion.version)
        return changed

    def protected(self) -> set[str]:
        """Versions that must stay, however old: the champion, and the one that a rollback leads to."""
        champion = self.champion()
        return {*self.journal().champions()[-2:], *([champion.version] if champion else [])}

    def prune(self, store: CheckpointStore) -> None:
        """Remove model versions beyond `keep_versions`, and the checkpoints of finished trainings that no version has.

        Only trainings that are in the journal are touched, and none that another process is running.
        """
        if self.keep_versions is None or not self.versions.folder.is_dir():
            return
        self.versions.prune(self.keep_versions, self.protected)
        try:
            needed = {self.model(version).config.training_id for version in self.versions.names()}
        except ModelError as error:  # whose checkpoints it needs is unknown
            log.warning("no checkpoints are pruned: %s", error.what)
            return
        for run in map(store.run, self.journal().training_ids() - needed):
            if read_finished(run.folder) is None:
                continue
            with suppress(CheckpointError), run.alone():
                if read_finished(run.folder) is not None:  # still, now that nobody else is in there
                    remove_folder(run.folder)
        store.sweep()

    def rollback(self) -> tuple[str, str]:
        """Make the champion before this one champion again. Returns (from, to).

        A rollback that was interrupted after its commit is completed, not repeated: it would skip a champion.
        Raises ModelError when there is no champion before, or its version is missing or damaged.
        """
        last = self.journal().last_change()
        if self.repair() and last is not None and last.decision == ROLLED_BACK:
            log.warning("an interrupted rollback is completed; run the command again to return one champion further")
            return str(last.from_version), str(last.version)
        now, line = self.champion(), self.journal().champions()
        if now is None or len(line) < 2:
            raise ModelError(
                "there is no champion before this one",
                where=str(self.root / DECISIONS),
                do="promote a model first: kedro run --pipeline retrain",
            )
        before = line[-2]
        model = self.model(before)
        self.decide(ROLLED_BACK, before, from_version=now.version, training_id=model.config.training_id)
        return now.version, before

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second retraining out; the system drops the lock when its holder dies.

        Raises TrainingError when another one is running.
        """
        busy = TrainingError(
            "another retraining is running",
            where=str(self.root),
            do="wait until it ends, then run again: what it has done by then is not done twice",
        )
        self.root.mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / ".retraining.lock", busy):
            yield

    def _pointer(self) -> Champion | None:
        """What champion.json says, or None where it says nothing that can be read."""
        try:
            return Champion.model_validate_json((self.root / POINTER).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("%s cannot be read (%s); the journal is used", self.root / POINTER, type(error).__name__)
            return None


def _champion(journal: Journal, pointer: Champion | None) -> Champion | None:
    """The champion by the journal.

    The pointer counts in one case: it was written for a line that cannot be read any more, which is newer than every
    readable change of champion. Where no line names a champion, it is all there is.
    """
    last = journal.last_change()
    lost = pointer is not None and pointer.decided_in in journal.damaged
    if last is None or last.version is None:
        return pointer
    if pointer is not None and lost and pointer.decided_in > last.line:
        return pointer
    return Champion(version=last.version, training_id=last.training_id, since=last.time, decided_in=last.line)
