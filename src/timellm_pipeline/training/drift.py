"""Differences between two trainings, or between the current code, versions and device and those of a checkpoint."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timellm_pipeline.errors import CheckpointError, TrainingError
from timellm_pipeline.files import write_atomic
from timellm_pipeline.model.folder import LINEAR
from timellm_pipeline.training.checkpoint import FORMAT, RELEASES, CheckpointStore
from timellm_pipeline.training.identity import differences
from timellm_pipeline.training.preparation import Training
from timellm_pipeline.workers.group import WorkerGroup

log = logging.getLogger(__name__)


def _data_facts(training: Training) -> dict[str, Any]:
    """The values behind the digests of the data, so that a log line can name what changed."""
    parameters, source = training.parameters, training.data.scaled.source
    return {
        "split": parameters.split.model_dump(mode="json"),
        "data": parameters.data.model_dump(mode="json"),
        "raw file": source.sha256,
    }


def open_run(training: Training) -> None:
    """Create the folder of the run, and write what this training is (run.json) and its linear part.

    Raises CheckpointError for a folder that cannot be written, StorageError for links.
    """
    facts = {**training.facts, "described": _data_facts(training), "max_steps": training.data.plan.max_steps}
    linear = training.linear.as_bytes()
    training.run.open(facts)
    write_atomic(training.run.folder / LINEAR, linear)


def report_differences(training: Training, store: CheckpointStore) -> None:
    """Log the differences between a new training and the newest other one in the store."""
    newest_other = store.newest_other(training.training_id)
    if newest_other is None or (training.run.folder / "run.json").exists():
        return
    name, previous = newest_other
    if previous.get("format") != FORMAT:
        log.warning(
            "the checkpoints in %s have format %s and cannot be resumed by this version, which writes format %s; an "
            "unfinished training can be finished with release %s of this package",
            store.root / name,
            previous.get("format"),
            FORMAT,
            RELEASES.get(previous.get("format", 0), "that started it"),
        )
        return
    described = previous.pop("described", None)
    data_differences = differences(_data_facts(training), described if isinstance(described, dict) else {})
    previous.pop("max_steps", None)  # other facts determine it
    found = differences(training.facts, previous)
    if data_differences:
        found = [difference for difference in found if not difference.startswith("data.")] + data_differences
    log.info(
        "this is a new training; it differs from the newest other one (%s) in %s",
        name[:16],
        "; ".join(found) or "nothing that is recorded",
    )


def find_drift(training: Training, content: Mapping[str, Any], where: Path, name: str) -> list[str]:
    """Differences between the current code, versions and device and those in `content`, which are also logged.

    A result is kept in spite of differences. Raises CheckpointError for them under training.resume=exact.

    Args:
        name: what the log lines call the earlier result.
    """
    drift = differences(training.content, content)
    if drift and training.parameters.training.resume == "exact":
        raise CheckpointError(
            f"{name} was computed with other code, versions or devices: {'; '.join(drift)}",
            where=str(where),
            do="return to that version, or set training.resume=auto to resume without byte equality",
        )
    for difference in drift:
        log.warning(
            "%s was computed with other code, versions or devices, so byte equality is not guaranteed: %s",
            name,
            difference,
        )
    return drift


def refuse_mixed_workers(training: Training) -> None:
    """Raise TrainingError if the workers would not compute the same numbers: other code, versions or devices."""
    found = WorkerGroup.current().gather(training.content)
    for rank, content in enumerate(found):
        if mixed := differences(found[0], content):
            raise TrainingError(
                f"worker {rank} differs from worker 0: {'; '.join(mixed)}",
                where="workers",
                do="use machines with the same versions, devices and number of threads (OMP_NUM_THREADS)",
            )


def refuse_other_part(training: Training, content: Mapping[str, Any], where: Path) -> None:
    """Raise CheckpointError if a result was computed with another linear part than the one at hand.

    Its weights, alpha and intervals belong to that linear part.
    """
    if content.get("linear_part") != training.content["linear_part"]:
        raise CheckpointError(
            "this result was computed with another linear part than the one in its folder",
            where=str(where),
            do=f"restore {LINEAR} in the folder of the training, or train again: training.force=true",
        )
