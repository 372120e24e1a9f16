"""The finished marker of a training: that it is over, which step is best, and the intervals of the best model.

finished.json            the facts, the digest of the intervals, and the digest of itself
intervals.safetensors    half-widths of the best model's prediction intervals
"""

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.files import write_atomic
from timellm_pipeline.model.intervals import HalfWidths
from timellm_pipeline.model.saved import INTERVALS, intervals_as_bytes, intervals_from_bytes
from timellm_pipeline.series.identity import digest_of_file, sealed, unsealed

log = logging.getLogger(__name__)

FINISHED = "finished.json"


class Finished(BaseModel):
    """What a finished training was.

    Attributes:
        resumed: each resume: its step, and whether byte equality was kept.
        parameters: numbers of trainable and frozen weights.
        trained_in: model version that its training saved.
        content: what computed it; its digest is the content id.
        history: the whole training history as CSV.
        sha256: digests of the files beside the marker.
    """

    model_config = ConfigDict(frozen=True)

    best_step: int
    validation_mse: float
    stop_reason: str
    steps: int
    resumed: list[dict[str, Any]]
    parameters: dict[str, int]
    trained_in: str
    content: dict[str, Any]
    history: str
    sha256: dict[str, str] = {}


def write_finished(folder: Path, finished: Finished, widths: HalfWidths) -> None:
    """Write the intervals, then the marker with their digest. Raises OSError when the disk is full."""
    write_atomic(folder / INTERVALS, intervals_as_bytes(widths))
    facts = {**finished.model_dump(mode="json"), "sha256": {INTERVALS: digest_of_file(folder / INTERVALS)}}
    write_atomic(folder / FINISHED, json.dumps(sealed(facts), indent=1, ensure_ascii=False).encode())


def read_finished(folder: Path) -> Finished | None:
    """The marker, or None while the training is not over.

    A damaged marker counts as none, with a warning: the training then resumes at its last checkpoint, finds that it is
    over, and writes the marker again.
    """
    try:
        return Finished.model_validate(unsealed(json.loads((folder / FINISHED).read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        reason = f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
    log.warning("%s is skipped (%s); it is written again at the end of training", folder / FINISHED, reason)
    return None


def read_intervals(folder: Path, finished: Finished, num_channels: int, pred_len: int) -> HalfWidths:
    """The half-widths that the marker belongs to.

    Raises CheckpointError when the file is missing or not what was written, ModelError for another shape.
    """
    path = folder / INTERVALS
    try:
        digest = digest_of_file(path)
    except OSError as error:
        raise _lost(path, f"the prediction intervals cannot be read ({error.strerror})") from error
    if digest != finished.sha256.get(INTERVALS, digest):  # markers of older versions have no digest
        raise _lost(path, "the prediction intervals are not what was written")
    return intervals_from_bytes(path, num_channels, pred_len)


def _lost(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        what,
        where=str(path),
        do=f"restore the file, or delete {FINISHED} beside it and run the training again: it makes them again",
    )
