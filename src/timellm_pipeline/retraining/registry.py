"""Which model is the champion, and how it came to be: a pointer that moves in one step, and every decision.

<root>/champion.json      version, training id, since when; moved by one rename
<root>/decisions.jsonl    a line a decision: promoted, refused, nothing new, rolled back, with its reasons
<root>/timellm_model/     the versions themselves
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from timellm_pipeline.errors import CheckpointError, ModelError, TrainingError
from timellm_pipeline.files import alone_in, move, remove_folder, write_whole
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.training.checkpoint import CheckpointStore

log = logging.getLogger(__name__)

POINTER, DECISIONS, MODELS = "champion.json", "decisions.jsonl", "timellm_model"


@dataclass(frozen=True)
class Registry:
    """The handle behind the catalog entry `registry`.

    Attributes:
        keep_versions: newest model versions that stay after a retraining; None keeps all.
    """

    root: Path
    keep_versions: int | None = None

    def champion(self) -> dict[str, Any] | None:
        """`version`, `training_id`, `since` of the champion, or None while there is none.

        Raises ModelError for a pointer that cannot be read.
        """
        return read_pointer(self.root)

    def model(self, version: str) -> SavedModel:
        """A model version. Raises ModelError when it is gone or torn."""
        return SavedModel.read(self.root / MODELS / version / MODELS)

    def keep(self, model: TrainedModel, version: str) -> SavedModel:
        """Save a candidate as a model version, whole or not at all."""
        final = self.root / MODELS / version
        partial = final.with_name(f".partial-{version}")
        model.write(partial / MODELS)
        move(partial, final)
        return self.model(version)

    def decisions(self) -> list[dict[str, Any]]:
        """Every decision, oldest first."""
        path = self.root / DECISIONS
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

    def decide(self, decision: str, version: str | None, **facts: Any) -> None:
        """Write a decision down; a promotion moves the pointer after it."""
        entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "decision": decision, "version": version}
        lines = [json.dumps(one, ensure_ascii=False) for one in [*self.decisions(), {**entry, **facts}]]
        self.root.mkdir(parents=True, exist_ok=True)
        write_whole(self.root / DECISIONS, ("\n".join(lines) + "\n").encode())

    def promote(self, version: str, training_id: str) -> None:
        """Make a version the champion, in one step."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        pointer = {"version": version, "training_id": training_id, "since": since}
        write_whole(self.root / POINTER, json.dumps(pointer, indent=1).encode())
        log.info("the champion is now version %s", version)

    def champions(self) -> list[str]:
        """Versions that were champion, in their order; a rollback takes the last one away."""
        line: list[str] = []
        for entry in self.decisions():
            if entry["decision"] == "promoted":
                line.append(entry["version"])
            elif entry["decision"] == "rolled back":
                line = line[: line.index(entry["version"]) + 1] if entry["version"] in line else line
        return line

    def protected(self) -> set[str]:
        """Versions that must stay, however old: the champion, and the one that a rollback leads to."""
        now = self.champion()
        return {*self.champions()[-2:], *([now["version"]] if now else [])}

    def prune(self, store: CheckpointStore) -> None:
        """Remove model versions beyond `keep_versions`, and the checkpoints of finished trainings that no version has.

        Only trainings that are in the decisions are looked at, and none that another process is in.
        """
        if self.keep_versions is None:
            return
        protected, models = self.protected(), self.root / MODELS
        versions = sorted((path.name for path in models.iterdir() if not path.name.startswith(".")), reverse=True)
        kept = {*versions[: self.keep_versions], *(version for version in versions if version in protected)}
        for version in set(versions) - kept:
            remove_folder(models / version)
        ours = {one["training_id"] for one in self.decisions() if one.get("training_id")}
        try:
            needed = {self.model(version).config.training_id for version in kept}
        except ModelError as error:  # whose checkpoints those are cannot be told
            log.warning("no checkpoints are pruned: %s", error.what)
            return
        for run in map(store.run, ours - needed):
            if run.finished() is None:
                continue
            with suppress(CheckpointError), alone_in(run.folder):
                if run.finished() is not None:  # still, now that nobody else is in there
                    remove_folder(run.folder)

    def rollback(self) -> tuple[str, str]:
        """Make the champion before this one champion again. Returns (from, to).

        Raises ModelError when there is none before, or its version is gone.
        """
        now, line = self.champion(), self.champions()
        if now is None or len(line) < 2:
            raise ModelError(
                "there is no champion before this one",
                where=str(self.root / DECISIONS),
                do="promote a model first: kedro run --pipeline retrain",
            )
        before = line[-2]
        model = self.model(before)
        self.decide("rolled back", before, from_version=now["version"])
        self.promote(before, model.config.training_id)
        return now["version"], before

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second retraining out; the system drops the lock when its holder dies.

        Raises TrainingError when another one is under way.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".retraining.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise TrainingError(
                "another retraining is under way",
                where=str(self.root),
                do="wait until it has ended and run again: what it has done by then is not done twice",
            ) from error
        try:
            yield
        finally:
            lock.release()


def read_pointer(root: Path) -> dict[str, Any] | None:
    """The champion's pointer under a root, or None. Raises ModelError for one that cannot be read."""
    path = root / POINTER
    try:
        pointer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: pointer[key] for key in ("version", "training_id", "since")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the champion's pointer cannot be read ({type(error).__name__})",
            where=str(path),
            do="restore it from decisions.jsonl beside it: the last version that was promoted or rolled back to",
        ) from error
