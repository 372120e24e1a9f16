"""One training, from its data to a model: whether it is finished, where it goes on, what comes out."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from timellm_pipeline.errors import CheckpointError, TrainingError
from timellm_pipeline.evaluation.forecasting import calibrate
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.model.sizes import count_parameters, trainable_count
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.windows import windows_of
from timellm_pipeline.training.checkpoint import LEAST_KEPT, Checkpoint, CheckpointStore
from timellm_pipeline.training.finished import Finished, read_finished, read_intervals, write_finished
from timellm_pipeline.training.history import read_history
from timellm_pipeline.training.identity import differences
from timellm_pipeline.training.loop import TrainingLoop
from timellm_pipeline.training.preparation import Training, TrainingInputs, prepare_training
from timellm_pipeline.training.randomness import seed_everything

log = logging.getLogger(__name__)

BYTES_A_WEIGHT = 12  # float32, and Adam's two moments of it


@dataclass(frozen=True)
class TrainingResult:
    """The chosen model, the whole history, and the facts for the run manifest."""

    model: TrainedModel
    history: pd.DataFrame
    record: dict[str, Any]


def train_model(
    inputs: TrainingInputs,
    parameters: Parameters,
    source: BackboneSource,
    store: CheckpointStore,
    version: str,
    start: SavedModel | None = None,
) -> TrainingResult:
    """Train, resume or republish: the model that validation chose.

    Args:
        version: name of the model version that will be saved, to be remembered by later republications.
        start: a model whose weights training starts from; new ones without.

    Raises:
        UserError: anything that a user can mend, before the backbone is loaded where it can be known before.
        TrainingStopped: after a signal, with a checkpoint written.
    """
    training = prepare_training(inputs, parameters, source, store, start)
    finished = read_finished(training.run.folder)
    steps_run = 0
    if finished is None or parameters.training.force:
        if finished is None:
            _say_what_differs(training, store)
        training.run.open({**training.facts, "said": _said(training), "max_steps": inputs.plan.max_steps})
        with training.run.alone(), _memory_explained(training):
            again = finished is not None
            finished, steps_run = _train_to_the_end(training, source, version, start, again)
    else:
        log.info(
            "this training is already finished (in version %s): nothing is trained, its model is saved again",
            finished.trained_in,
        )
        _drift(training, finished.content, training.run.folder, "this finished training")
    best = _best(training, finished)
    intervals = read_intervals(training.run.folder, finished, len(inputs.scaler.channels), parameters.window.pred_len)
    config = training.model_config(
        content_id=digest_of(finished.content),
        counts=finished.parameters,
        best_step=best.step,
        validation_mse=finished.validation_mse,
    )
    return TrainingResult(
        model=TrainedModel(config, best.weights(), inputs.scaler, intervals),
        history=read_history(finished.history),
        record={
            "training_id": training.training_id,
            "content_id": config.content_id,
            "trained": finished.trained_in == version,
            "trained_in": finished.trained_in,
            "steps_run": steps_run,
            "steps": finished.steps,
            "resumed_from": [resumed["step"] for resumed in finished.resumed],
            "resume_chain": finished.resumed,
            "best_step": best.step,
            "validation_mse": finished.validation_mse,
            "stop_reason": finished.stop_reason,
            "parameters": finished.parameters,
            "seed": parameters.training.seed,
            "data_id": inputs.plan.data_id,
            "raw_sha256": inputs.scaled_series.attrs.get("sha256"),
            "backbone": training.backbone_identity,
            "content": finished.content,
        },
    )


def _train_to_the_end(
    training: Training, source: BackboneSource, version: str, start: SavedModel | None, again: bool
) -> tuple[Finished, int]:
    """Train from the newest checkpoint or from the start. Returns the finished marker and the steps run here.

    Args:
        again: put a finished result aside, once everything that can go wrong before the first step has gone right.
    """
    parameters, compute, run = training.parameters, training.compute, training.run
    checkpoint = None if again else run.newest()
    weights = trainable_count(parameters.window, parameters.model, source.shape(parameters.backbone))
    # Those kept, the best one, and the one that is being written.
    run.refuse_too_little_room(weights * BYTES_A_WEIGHT, max(parameters.training.keep_checkpoints, LEAST_KEPT) + 2)
    drift = []
    if checkpoint is not None:
        drift = _drift(training, checkpoint.content, checkpoint.folder, f"the checkpoint of step {checkpoint.step:,}")
    # cuBLAS reads this when it starts, which is at the first product on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(parameters.training.deterministic)
    loaded = source.load(parameters.backbone, compute)
    if again:
        log.info("training.force: the finished result of this training is put aside")
        run.unfinish()
    seed_everything(parameters.training.seed)  # after loading, which may draw random numbers of its own
    model = TimeLLM.around(parameters.window, parameters.prompt, parameters.model, loaded, training.description)
    if start is not None:
        model.load_trainables(start.weights())
        log.info("weights start from the model in %s", start.folder)
    model.to(compute.device)
    if parameters.training.compile:
        model.compile_training()
    counts = count_parameters(model)
    log.info(
        "%s trainable and %s frozen parameters; backbone %s in %s on %s; prompts run as %s",
        f"{counts['trainable']:,}",
        f"{counts['frozen']:,}",
        parameters.backbone.name,
        str(compute.backbone_dtype(parameters.backbone)).removeprefix("torch."),
        compute.device,
        "a frozen prefix" if model.road == "prefix" else "part of one full forward",
    )
    loop = TrainingLoop(
        model,
        windows_of(training.inputs.scaled_series, training.inputs.window_index, "train", parameters.window),
        windows_of(training.inputs.scaled_series, training.inputs.window_index, "validation", parameters.window),
        training.inputs.plan,
        parameters.training,
        parameters.evaluation,
        compute,
        run,
        training.content,
    )
    if checkpoint is not None:
        loop.restore(checkpoint, drift)
        log.info("resuming from step %s", f"{checkpoint.step:,}")
    log.info("checkpoints, best model and the live history.csv: %s", run.folder)
    log.info('to watch it: python -m timellm_pipeline watch --root "%s"', run.folder.parent)
    stop_reason, steps_run = loop.run()
    state = loop.state
    if state.best_step is None or loop.history is None:
        raise TrainingError(
            "no validation gave a finite number, so there is no best model",
            where=str(run.folder),
            do="lower training.learning_rate, or look for extreme values in the series",
        )
    finished = Finished(
        best_step=state.best_step,
        validation_mse=state.best_mse,
        stop_reason=stop_reason,
        steps=state.step,
        resumed=state.resumed,
        parameters=counts,
        trained_in=version,
        content=training.content,
        history=loop.history.text,
    )
    best = run.at(state.best_step)  # a marker must not promise a model that is damaged
    model.load_trainables(best.weights())
    widths = calibrate(model, loop.validation_windows, parameters.evaluation.batch_size, compute)
    write_finished(run.folder, finished, widths)
    return finished, steps_run


@contextmanager
def _memory_explained(training: Training) -> Iterator[None]:
    """Turns a device's out-of-memory into what can be done about it. Raises TrainingError."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        plain_runtime_error = not isinstance(error, torch.OutOfMemoryError | MemoryError)
        if plain_runtime_error and "allocate memory" not in str(error):
            raise
        parameters, newest = training.parameters, training.run.newest()
        kept = "no checkpoint yet" if newest is None else f"the checkpoint of step {newest.step:,} is kept"
        raise TrainingError(
            f"out of memory on {training.compute.device}: {str(error).strip().splitlines()[0]}",
            where=f"training.batch_size {parameters.training.batch_size}, evaluation.batch_size "
            f"{parameters.evaluation.batch_size}, backbone.layers {parameters.backbone.layers or 'all'}, precision "
            f"{training.compute.precision} ({kept})",
            do="lower training.batch_size (training.accumulate keeps updates as large) or evaluation.batch_size, use "
            "fewer backbone.layers, or set training.precision to bf16 or fp16",
        ) from error


def _best(training: Training, finished: Finished) -> Checkpoint:
    """The checkpoint that a finished run has for its model."""
    try:
        return training.run.at(finished.best_step)
    except CheckpointError as error:
        raise CheckpointError(
            f"this training has finished, but its best checkpoint is damaged: {error.what}",
            where=error.where,
            do="bring that folder back, or train it again: --params training.force=true",
        ) from error


def _said(training: Training) -> dict[str, Any]:
    """The words behind the digests of the data, so that people can be told what changed."""
    parameters, facts = training.parameters, training.inputs.scaled_series.attrs
    return {
        "split": parameters.split.model_dump(mode="json"),
        "data": parameters.data.model_dump(mode="json"),
        "raw file": facts.get("sha256"),
    }


def _say_what_differs(training: Training, store: CheckpointStore) -> None:
    other = store.newest_other(training.training_id)
    if other is None or (training.run.folder / "run.json").exists():
        return
    name, theirs = other
    described = theirs.pop("said", None)
    in_words = differences(_said(training), described if isinstance(described, dict) else {})
    theirs.pop("max_steps", None)  # its own facts say it already
    found = differences(training.facts, theirs)
    if in_words:
        found = [difference for difference in found if not difference.startswith("data.")] + in_words
    log.info(
        "a new training; it differs from the newest other one (%s) in %s",
        name[:16],
        "; ".join(found) or "nothing that is recorded",
    )


def _drift(training: Training, content: Mapping[str, Any], where: Path, what: str) -> list[str]:
    """What computes now and did not compute then. The work is not lost for it, but it is said and recorded.

    Raises CheckpointError under training.resume=exact.
    """
    drift = differences(training.content, content)
    if drift and training.parameters.training.resume == "exact":
        raise CheckpointError(
            f"{what} was computed by something else: {'; '.join(drift)}",
            where=str(where),
            do="go back to that version, or set training.resume=auto to go on without byte equality",
        )
    for difference in drift:
        log.warning("%s was computed by something else, so no byte equality is promised: %s", what, difference)
    return drift
