"""Typed records of a training: each resume, the finished marker, the training record, and the run manifest.

A finished training has two more files in its checkpoint folder:

    finished.json            the facts, the digest of the intervals, and the digest of itself
    intervals.safetensors    half-widths of the best model's prediction intervals
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.evaluation.alpha import Alpha
from timellm_pipeline.files import write_atomic
from timellm_pipeline.linear.part import LinearFacts
from timellm_pipeline.model.intervals import INTERVALS, Intervals
from timellm_pipeline.model.saved import TrainedModel
from timellm_pipeline.series.identity import digest_of_file, sealed, unsealed

log = logging.getLogger(__name__)

FINISHED = "finished.json"


class Resume(BaseModel):
    """One resume.

    Attributes:
        step: the checkpoint's step.
        byte_equal: whether the result is byte-equal to that of an uninterrupted run.
        differences: changes of code, versions or device since the checkpoint; empty if `byte_equal`.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    byte_equal: bool
    differences: list[str]


class Finished(BaseModel):
    """The marker of a finished training.

    Attributes:
        alpha: weight of the correction.
        resumed: each resume, in order.
        parameters: numbers of trainable and frozen weights.
        trained_in: model version that its training saved.
        content: the training id, and the code, versions and device that computed; its digest is the content id.
        history: the complete training history as CSV.
        sha256: digests of the other files of the finished training.
    """

    model_config = ConfigDict(frozen=True)

    best_step: int
    validation_mse: float
    alpha: Alpha
    stop_reason: str
    steps: int
    resumed: list[Resume]
    parameters: dict[str, int]
    trained_in: str
    content: dict[str, Any]
    history: str
    sha256: dict[str, str] = {}


class TrainingRecord(BaseModel):
    """Facts of a training for the run manifest.

    Attributes:
        trained: True if this run trained the model, False if it saved an earlier result again.
        trained_in: model version that its training saved.
        steps_run: steps that this process ran.
        steps: steps of the complete training.
        resumed_from: steps of the checkpoints that the training resumed from.
        alpha: weight of the correction, and the test that chose it.
        model_selection: what selects the weights of the model. `training.patience` has an effect with `validation`
            only.
        linear_part: how the linear part was fitted.
        raw_sha256: digest of the raw file.
        backbone: identity of the backbone.
        content: the training id, and the code, versions and device that computed; its digest is the content id.
        resolved: every parameter group.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    training_id: str
    content_id: str
    trained: bool
    trained_in: str
    steps_run: int
    steps: int
    resumed_from: list[int]
    resume_chain: list[Resume]
    best_step: int
    validation_mse: float
    alpha: Alpha
    model_selection: Literal["validation", "average of the last weights"]
    linear_part: LinearFacts
    stop_reason: str
    parameters: dict[str, int]
    seed: int
    data_id: str
    raw_sha256: str | None
    backbone: dict[str, Any]
    content: dict[str, Any]
    resolved: dict[str, Any]


class RunManifest(TrainingRecord):
    """Facts of a run: training, input file, environment, outputs and test errors.

    Attributes:
        raw_path: path of the raw file.
        raw_unchanged: whether the raw file was the same at the end of the run.
        run: version, git commit, packages and platform of the run.
        outputs: digests of the results.
        test: number of test windows, and MSE and MAE of each model in scaled units.
    """

    raw_path: str
    raw_unchanged: bool
    run: dict[str, Any]
    outputs: dict[str, str]
    test: dict[str, Any]


@dataclass(frozen=True)
class TrainingResult:
    """The model selected on validation, the complete history, and the facts for the run manifest."""

    model: TrainedModel
    history: pd.DataFrame
    record: TrainingRecord


def write_finished(folder: Path, finished: Finished, intervals: Intervals) -> None:
    """Write the intervals, then the marker with their digest. Raises OSError when the disk is full."""
    write_atomic(folder / INTERVALS, intervals.as_bytes())
    facts = {**finished.model_dump(mode="json"), "sha256": {INTERVALS: digest_of_file(folder / INTERVALS)}}
    write_atomic(folder / FINISHED, json.dumps(sealed(facts), indent=1, ensure_ascii=False).encode())


def read_finished(folder: Path) -> Finished | None:
    """The marker, or None if training has not finished.

    A damaged marker is ignored with a warning: training then resumes from its last checkpoint, detects that it has
    finished, and writes the marker again.
    """
    try:
        return Finished.model_validate(unsealed(json.loads((folder / FINISHED).read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        reason = f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
    log.warning("%s is ignored (%s); it is written again at the end of training", folder / FINISHED, reason)
    return None


def read_intervals(folder: Path, finished: Finished, num_channels: int, pred_len: int) -> Intervals:
    """The prediction intervals of a finished training.

    Raises CheckpointError when the file is missing or does not match its digest, ModelError for another shape.
    """
    path = folder / INTERVALS
    try:
        digest = digest_of_file(path)
    except OSError as error:
        raise _intervals_error(path, f"the prediction intervals cannot be read ({error.strerror})") from error
    if digest != finished.sha256.get(INTERVALS, digest):  # markers of older versions have no digest
        raise _intervals_error(path, "the prediction intervals do not match their digest")
    return Intervals.from_file(path, num_channels, pred_len)


def _intervals_error(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        what,
        where=str(path),
        do=f"restore the file, or delete {FINISHED} in the same folder and train again, which writes both files again",
    )
