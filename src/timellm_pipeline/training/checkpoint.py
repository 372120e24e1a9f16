"""Step checkpoints: written to a temporary folder, flushed, published with one atomic rename, verified on reading.

    <root>/<training id>/
        run.json                 facts of this training, which distinguish it from other runs in the root
        history.csv              the live history, for viewers
        linear.safetensors       the linear part of this training
        step-000001000/          trainable.safetensors  average.safetensors (of a correction)  state.pt  history.csv
                                 manifest.json (digests of the others)
        intervals.safetensors    half-widths of the best model's prediction intervals
        finished.json            training has finished: best step, stop reason, digest of the intervals

manifest.json and finished.json also contain a digest of themselves. docs/architecture.md says why this is our own.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.files import (
    exclusive,
    is_link,
    link_refused,
    publish_folder,
    remove_folder,
    sync_file,
    sync_folder,
    write_atomic,
)
from timellm_pipeline.series.identity import digest_of_file, sealed, unsealed
from timellm_pipeline.training.result import FINISHED

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

FORMAT = 3
RELEASES = {1: "0.1.0", 2: "0.2.0"}  # the last release that resumes checkpoints of an older format
WEIGHTS, AVERAGE, STATE = "trainable.safetensors", "average.safetensors", "state.pt"
HISTORY, MANIFEST = "history.csv", "manifest.json"
STEP = re.compile(r"step-\d{9}")
LEFTOVER = re.compile(r"\.(partial-\d{9}|gone-step-\d{9})-\d+")
GONE = re.compile(r"\.gone-[0-9a-f]{64}-\d+")
LEAST_KEPT = 2  # with one, a checkpoint damaged during writing would be the only one
SPARE = 1.05  # required free space, as a multiple of the expected bytes


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint whose files matched their digests when it was read."""

    folder: Path
    step: int
    content: dict[str, Any]
    has_average: bool

    def model_weights(self) -> "dict[str, Tensor]":
        """Weights of the model of this step: the averaged ones, if any."""
        return self.average() if self.has_average else self.weights()

    def average(self) -> "dict[str, Tensor]":
        """The averaged weights, on the CPU."""
        return self._read_weights(AVERAGE)

    def weights(self) -> "dict[str, Tensor]":
        """The trainable weights, on the CPU.

        The file is read into memory: memory-mapped weights would crash the process when the file is truncated, and
        would block its deletion on Windows. Raises ModelError for weights that are not finite.
        """
        return self._read_weights(WEIGHTS)

    def _read_weights(self, name: str) -> "dict[str, Tensor]":
        from timellm_pipeline.model.weights import read_finite

        return read_finite((self.folder / name).read_bytes(), self.folder / name)

    def state(self) -> dict[str, Any]:
        """Optimizer, gradient scaler and run counters. Nothing is unpickled.

        Raises CheckpointError for a file with any other content.
        """
        import torch

        try:
            state: dict[str, Any] = torch.load(self.folder / STATE, weights_only=True, map_location="cpu")
        except (OSError, MemoryError):
            raise
        except Exception as error:  # errors of pickle, zip and torch; torch's message advises unpickling
            raise _unusable(self.folder, f"{STATE} contains other values than tensors and numbers") from error
        return state

    def history(self) -> str:
        """The history up to this step, as CSV."""
        return (self.folder / HISTORY).read_text(encoding="utf-8")


@dataclass(frozen=True)
class RunFolder:
    """The checkpoints of one training id."""

    folder: Path
    training_id: str

    @property
    def live_history(self) -> Path:
        """Path of the history file that grows during training."""
        return self.folder / HISTORY

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock this training. The system releases it when the process ends, even if it is killed.

        Raises CheckpointError when another process has the lock.
        """
        busy = CheckpointError(
            "another process is already running this training",
            where=str(self.folder),
            do="wait until it ends, or stop it: the same command then resumes from its newest checkpoint",
        )
        with exclusive(self.folder / ".lock", busy):
            yield

    def open(self, facts: Mapping[str, Any]) -> None:
        """Create the folder and write run.json. Raises CheckpointError, or StorageError for links."""
        for path in (self.folder, self.live_history):
            if is_link(path):
                raise link_refused(path)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self.folder / "run.json", _json(facts))  # on every start: a resume needs a writable root too
        except OSError as error:
            raise CheckpointError(
                f"checkpoints cannot be written: {error.strerror or error}",
                where=str(self.folder),
                do="set a writable folder: --params checkpoint_root=PATH",
            ) from error

    def refuse_too_little_room(self, checkpoint_bytes: int, count: int) -> None:
        """Raise CheckpointError when the drive has less free space than `count` checkpoints need."""
        present = len(self._published())
        needed = int(checkpoint_bytes * max(count - present, 1) * SPARE)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise CheckpointError(
                f"{_mib(free)} are free; {count} checkpoints of {_mib(checkpoint_bytes)} need {_mib(needed)} more",
                where=str(self.folder),
                do="free space, lower training.keep_checkpoints, or set --params checkpoint_root=PATH",
            )

    def save(
        self,
        step: int,
        weights: "Mapping[str, Tensor]",
        state: Mapping[str, Any],
        history: str,
        *,
        average: "Mapping[str, Tensor] | None" = None,
        content: Mapping[str, Any],
        keep: int,
        best_step: int | None,
    ) -> Path:
        """Publish step-<step>, then delete checkpoints beyond the newest `keep`, never the best one. Returns its path.

        Args:
            average: averaged weights, if the model is made of them.

        Raises CheckpointError with the required space when it cannot be written; older checkpoints remain complete.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        final, partial = self._checkpoint_path(step), self.folder / f".partial-{step:09d}-{os.getpid()}"
        remove_folder(partial)
        try:
            partial.mkdir()
            for name, tensors in ((WEIGHTS, weights), (AVERAGE, average)):
                if tensors is not None:
                    save_file(
                        {key: value.detach().cpu().contiguous() for key, value in tensors.items()}, partial / name
                    )
            torch.save(dict(state), partial / STATE)
            (partial / HISTORY).write_text(history, encoding="utf-8", newline="\n")
            digests = {path.name: digest_of_file(path) for path in sorted(partial.iterdir())}
            manifest = {"format": FORMAT, "step": step, "content": dict(content), "sha256": digests}
            (partial / MANIFEST).write_bytes(_json(sealed(manifest)))
            for path in partial.iterdir():
                sync_file(path)
            sync_folder(partial)
            publish_folder(partial, final, MANIFEST)
        except (OSError, RuntimeError, SafetensorError) as error:  # a full disk raises any of them
            needed = (3 if average is None else 4) * sum(
                weight.numel() * weight.element_size() for weight in weights.values()
            )
            remove_folder(partial)
            raise CheckpointError(
                f"the checkpoint of step {step:,} needs about {_mib(needed)} and was not written: {error}",
                where=str(self.folder),
                do="free space or repair the drive, then run the same command again: older checkpoints are complete",
            ) from error
        self._prune(step, keep, best_step)
        return final

    def newest(self) -> Checkpoint | None:
        """The newest complete checkpoint, or None. Damaged ones are logged and skipped."""
        for path in self._published():
            try:
                return self.read(path)
            except CheckpointError as error:
                log.warning("checkpoint %s is skipped: %s; trying the previous one", path.name, error.what)
        return None

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of one step. Raises CheckpointError when it is missing or damaged."""
        return self.read(self._checkpoint_path(step))

    def read(self, path: Path) -> Checkpoint:
        """The checkpoint in a folder, every file compared with its digest. Raises CheckpointError for damage."""
        try:
            manifest = unsealed(json.loads((path / MANIFEST).read_text(encoding="utf-8")))
            version, step, digests = manifest["format"], int(manifest["step"]), dict(manifest["sha256"])
            content = dict(manifest["content"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise _unusable(path, f"its {MANIFEST} cannot be used ({error or type(error).__name__})") from error
        if version != FORMAT:
            release = f", which release {RELEASES[version]} resumes" if version in RELEASES else ""
            raise _unusable(path, f"it has format {version}{release}; this version reads {FORMAT}")
        for name in dict.fromkeys((WEIGHTS, STATE, HISTORY, *digests)):
            if Path(name).name != name:
                raise _unusable(path, f"its {MANIFEST} lists a file outside the folder, {name}")
            try:
                unchanged = digest_of_file(path / name) == digests.get(name)
            except OSError as error:
                raise _unusable(path, f"{name} cannot be read ({error.strerror})") from error
            if not unchanged:
                raise _unusable(path, f"{name} does not match its digest")
        return Checkpoint(path, step, content, AVERAGE in digests)

    def unfinish(self) -> None:
        """Delete the checkpoints, then the finished marker, so that training starts from step 0.

        Raises CheckpointError when one cannot be deleted, because a new run would resume from it.
        """
        remaining = [path.name for path in self._published() if not remove_folder(path)]
        if remaining:
            raise CheckpointError(
                f"{', '.join(remaining)} of the finished run cannot be deleted",
                where=str(self.folder),
                do="close the program that reads it, or delete the folder manually, then run the same command again",
            )
        (self.folder / FINISHED).unlink(missing_ok=True)

    def _checkpoint_path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}"

    def _published(self) -> list[Path]:
        return sorted((path for path in self.folder.iterdir() if STEP.fullmatch(path.name)), reverse=True)

    def _prune(self, step: int, keep: int, best_step: int | None) -> None:
        protected = self._checkpoint_path(best_step) if best_step is not None else None
        damaged = [
            path for path in self._published() if path > self._checkpoint_path(step)
        ]  # skipped by `newest`, will be written again
        for path in damaged:
            remove_folder(path)
        for old in self._published()[max(keep, LEAST_KEPT) :]:
            if old != protected:
                remove_folder(old)
        for stale in [path for path in self.folder.iterdir() if LEFTOVER.fullmatch(path.name)]:
            remove_folder(stale)


@dataclass(frozen=True)
class CheckpointStore:
    """The handle of the catalog entry `step_checkpoints`: all runs under one root."""

    root: Path

    def run(self, training_id: str) -> RunFolder:
        """The folder of one training id."""
        return RunFolder(self.root / training_id, training_id)

    def sweep(self) -> None:
        """Delete leftovers of folders whose deletion was interrupted."""
        for path in list(self.root.iterdir()) if self.root.is_dir() else []:
            if GONE.fullmatch(path.name):
                remove_folder(path)

    def newest_other(self, training_id: str) -> tuple[str, dict[str, Any]] | None:
        """Training id and facts of the newest other run, or None."""
        others = [path for path in self.root.glob("*/run.json") if path.parent.name != training_id]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
            try:
                facts = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(facts, dict):
                return path.parent.name, facts
        return None


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode()


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _unusable(path: Path, what: str) -> CheckpointError:
    return CheckpointError(what, where=str(path), do="use another checkpoint, or train again")
