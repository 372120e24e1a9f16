"""The registry of champions: which model version forecasts, and how it was selected.

<root>/decisions.jsonl    the decision journal, the source of truth (journal.py)
<root>/champion.json      a cache of the champion for other tools, repaired at the next retraining or rollback
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

from timellm_pipeline.errors import CheckpointError, ModelError, RefusedError, TrainingError
from timellm_pipeline.files import exclusive, remove_folder, write_atomic
from timellm_pipeline.model.folder import CONFIG
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.retraining.journal import REFUSED, ROLLED_BACK, Decision, Journal, append
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.result import read_finished
from timellm_pipeline.versions import Versions

log = logging.getLogger(__name__)

POINTER, DECISIONS, MODELS = "champion.json", "decisions.jsonl", "timellm_model"


class Champion(BaseModel):
    """The model version that forecasts.

    Attributes:
        decided_in: line of the journal that made it the champion; 0 in files of older versions of this package.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str
    training_id: str | None
    since: str
    decided_in: int = 0


@dataclass(frozen=True)
class Registry:
    """The handle of the catalog entry `registry`.

    Attributes:
        keep_versions: number of newest model versions kept after a retraining; None keeps all.
    """

    root: Path
    keep_versions: int | None = None

    @property
    def versions(self) -> Versions:
        """The model versions."""
        return Versions(self.root / MODELS)

    def journal(self) -> Journal:
        """The decision journal, without lines that cannot be read."""
        return Journal.read(self.root / DECISIONS)

    def champion(self) -> Champion | None:
        """The champion, or None if there is none yet."""
        return _resolve_champion(self.journal(), self._pointer())

    def model(self, version: str) -> SavedModel:
        """A model version. Raises ModelError when it is missing or damaged."""
        if not self.versions.place(version).is_dir():
            raise ModelError(
                f"model version {version} does not exist",
                where=str(self.root / MODELS),
                do="restore that folder, or return to the previous champion: kedro run --pipeline rollback",
            )
        return SavedModel.read(self.versions.place(version))

    def refuse_refused(self, version: str) -> None:
        """Raise RefusedError for a version that a retraining refused and that is not the champion."""
        decisions = [one for one in self.journal().decisions if one.version == version]
        if decisions and decisions[-1].decision == REFUSED:
            raise RefusedError(
                f"the newest model, version {version}, was refused by a retraining: {decisions[-1].reason}",
                where=str(self.root / DECISIONS),
                do=f"retrain until a candidate is promoted, or use it anyway: --load-versions timellm_model:{version}",
            )

    @contextmanager
    def candidate(self, model: TrainedModel, version: str) -> Iterator[SavedModel]:
        """Save a candidate as a model version. Within the `with` block, no process deletes it."""
        mark = self.versions.publish(version, model.write, CONFIG)
        try:
            yield self.model(version)
        finally:
            if mark is not None:
                mark.release()

    def decide(self, decision: str, version: str | None, **facts: Any) -> None:
        """Append a decision to the journal, which commits it, then update champion.json."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.root.mkdir(parents=True, exist_ok=True)
        append(self.root / DECISIONS, Decision(time=now, decision=decision, version=version, **facts))
        self.repair()

    def repair(self) -> bool:
        """Update champion.json from the journal. Returns whether its version changed. Requires the lock."""
        pointer = self._pointer()
        champion = _resolve_champion(self.journal(), pointer)
        if champion is None or champion == pointer:
            return False
        write_atomic(self.root / POINTER, champion.model_dump_json(indent=1).encode())
        changed = pointer is None or pointer.version != champion.version
        if changed:
            log.info("the champion is now version %s", champion.version)
        return changed

    def protected(self) -> set[str]:
        """Versions that are never deleted: the newest `keep_versions` champions, at least the two for a rollback."""
        champion, newest = self.champion(), max(self.keep_versions or 2, 2)
        return {*self.journal().champions()[-newest:], *([champion.version] if champion else [])}

    def prune(self, store: CheckpointStore) -> None:
        """Delete model versions beyond `keep_versions`, and checkpoints of finished trainings without a model version.

        Only trainings in the journal are deleted, and none that another process is running.
        """
        if self.keep_versions is None or not self.versions.folder.is_dir():
            return
        self.versions.prune(self.keep_versions, self.protected)
        try:
            needed = {self.model(version).config.training_id for version in self.versions.names()}
        except ModelError as error:  # the checkpoints that this version needs are unknown
            log.warning("no checkpoints are pruned: %s", error.what)
            return
        for run in map(store.run, self.journal().training_ids() - needed):
            if read_finished(run.folder) is None:
                continue
            with suppress(CheckpointError), run.alone():
                if read_finished(run.folder) is not None:  # check again while holding the lock
                    remove_folder(run.folder)
        store.sweep()

    def rollback(self) -> tuple[str, str]:
        """Restore the previous champion. Returns the versions (from, to).

        A rollback that was interrupted after its commit is completed, not repeated, which would skip a champion.
        Raises ModelError when there is no previous champion, or its version is missing or damaged.
        """
        last = self.journal().last_change()
        if self.repair() and last is not None and last.decision == ROLLED_BACK:
            log.warning("an interrupted rollback was completed; run the command again to roll back once more")
            return str(last.from_version), str(last.version)
        current, champions = self.champion(), self.journal().champions()
        if current is None or len(champions) < 2:
            raise ModelError(
                "there is no previous champion",
                where=str(self.root / DECISIONS),
                do="promote a model first: kedro run --pipeline retrain",
            )
        previous = champions[-2]
        model = self.model(previous)
        self.decide(ROLLED_BACK, previous, from_version=current.version, training_id=model.config.training_id)
        return current.version, previous

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of retraining. The system releases it when the process ends, even if it is killed.

        Raises TrainingError when another retraining is running.
        """
        busy = TrainingError(
            "another retraining is running",
            where=str(self.root),
            do="wait until it ends, then run again: its finished work is not repeated",
        )
        self.root.mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / ".retraining.lock", busy):
            yield

    def _pointer(self) -> Champion | None:
        """The content of champion.json, or None if it is missing or cannot be read."""
        try:
            return Champion.model_validate_json((self.root / POINTER).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("%s cannot be read (%s); the journal is used", self.root / POINTER, type(error).__name__)
            return None


def _resolve_champion(journal: Journal, pointer: Champion | None) -> Champion | None:
    """The champion according to the journal.

    The pointer (champion.json) takes precedence in one case: it was written for a line that can no longer be read and
    is newer than every readable change of champion. If no line names a champion, the pointer is used.
    """
    last = journal.last_change()
    line_is_damaged = pointer is not None and pointer.decided_in in journal.damaged
    if last is None or last.version is None:
        return pointer
    if pointer is not None and line_is_damaged and pointer.decided_in > last.line:
        return pointer
    return Champion(version=last.version, training_id=last.training_id, since=last.time, decided_in=last.line)
