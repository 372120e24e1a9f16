"""Train from the newest checkpoint, or from the start, until training has finished."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from timellm_pipeline.errors import TrainingError
from timellm_pipeline.evaluation.alpha import Alpha
from timellm_pipeline.evaluation.calibration import calibrate
from timellm_pipeline.evaluation.correction import PartErrors, choose_alpha, part_errors
from timellm_pipeline.linear.residuals import Residuals
from timellm_pipeline.model.backbone import LoadedBackbone
from timellm_pipeline.model.intervals import Intervals
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.sizes import trainable_count
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.training.checkpoint import LEAST_KEPT, RunFolder
from timellm_pipeline.training.drift import find_drift
from timellm_pipeline.training.loop import TrainingLoop
from timellm_pipeline.training.preparation import Training
from timellm_pipeline.training.randomness import seed_everything
from timellm_pipeline.training.result import Finished, Resume, write_finished
from timellm_pipeline.workers.group import WorkerGroup

log = logging.getLogger(__name__)

BYTES_PER_WEIGHT = 16  # a float32 weight, its two Adam moments and its average


def train_to_the_end(
    training: Training, version: str, start: SavedModel | None, discard_finished: bool
) -> tuple[Finished, int]:
    """Train from the newest checkpoint or from the start. Returns the finished marker and the steps of this process.

    Args:
        version: name of the model version that will be saved.
        start: a model that provides the initial weights; None for new weights.
        discard_finished: discard a finished result, after everything that can fail before the first step has succeeded.

    Raises:
        UserError: an error that a user can fix, before the backbone is loaded if it can be detected by then.
        StoppedBySignal: after a signal, with a checkpoint written.
    """
    parameters, compute, run = training.parameters, training.compute, training.run
    group = WorkerGroup.current()
    step = group.from_first(None if discard_finished else _newest_step(run))  # the first worker chooses
    checkpoint = None if step is None else run.at(step)
    weights = trainable_count(parameters.window, parameters.model, training.source.shape(parameters.backbone))
    # The checkpoints that are kept, the best one, and the one that is being written.
    run.refuse_too_little_room(weights * BYTES_PER_WEIGHT, max(parameters.training.keep_checkpoints, LEAST_KEPT) + 2)
    drift = []
    if checkpoint is not None:
        drift = find_drift(
            training, checkpoint.content, checkpoint.folder, f"the checkpoint of step {checkpoint.step:,}"
        )
    # cuBLAS reads this when it is initialized, at the first matrix product on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(parameters.training.deterministic)
    loaded = training.source.load(parameters.backbone, compute)
    if discard_finished:
        log.info("training.force: the finished result of this training is discarded")
        if group.is_first:
            run.unfinish()
        group.gather(None)
    seed_everything(parameters.training.seed)  # after loading, which may draw random numbers
    model = new_model(training, loaded)
    if start is not None:
        model.network.load_trainables(start.weights())
        log.info("the initial weights are those of the model in %s", start.folder)
    _refuse_other_weights(model)
    if parameters.training.compile:
        model.network.compile_training()
    counts = model.network.count_parameters()
    log.info(
        "%s trainable and %s frozen parameters; backbone %s in %s on %s; prompts run as %s",
        f"{counts['trainable']:,}",
        f"{counts['frozen']:,}",
        parameters.backbone.name,
        str(compute.backbone_dtype(parameters.backbone)).removeprefix("torch."),
        compute.device,
        "a frozen prefix" if model.network.backbone_path == "prefix" else "part of one full forward pass",
    )
    loop = TrainingLoop(
        model,
        Residuals(training.data.windows("train"), training.linear),
        training.data.windows("validation"),
        training.data.plan,
        parameters.training,
        parameters.evaluation,
        run,
        training.content,
    )
    if checkpoint is not None:
        loop.restore(checkpoint, drift)
        log.info("resuming from step %s", f"{checkpoint.step:,}")
    log.info("checkpoints, best model and live history.csv: %s", run.folder)
    log.info('to watch training: python -m timellm_pipeline watch --root "%s"', run.folder.parent)
    stop_reason, steps_run = loop.run()
    state = loop.state
    if state.best_step is None or loop.history is None:
        raise TrainingError(
            "no validation MSE is finite, so there is no best model",
            where=str(run.folder),
            do="lower training.learning_rate, or check the series for extreme values",
        )
    group.gather(None)  # the best checkpoint is written
    best = run.at(state.best_step)  # detects a damaged best model before the marker is written
    model.network.load_trainables(best.model_weights())
    errors = loop.final_errors if state.best_step == state.step else None
    alpha, mse, intervals = choose_and_calibrate(model, training, errors)
    finished = Finished(
        best_step=state.best_step,
        validation_mse=mse,
        alpha=alpha,
        stop_reason=stop_reason,
        steps=state.step,
        resumed=[Resume.model_validate(resume) for resume in state.resumed],
        parameters=counts,
        trained_in=version,
        content=training.content,
        history=loop.history.text,
    )
    if group.is_first:
        write_finished(run.folder, finished, intervals)
    group.gather(None)
    return finished, steps_run


def _refuse_other_weights(model: TimeLLM) -> None:
    """Raise TrainingError if the workers of a group drew other initial weights."""
    group = WorkerGroup.current()
    if group.size == 1:
        return
    content = hashlib.sha256(model.network.backbone_path.encode())
    for weight in model.network.trainables().values():
        content.update(weight.detach().cpu().numpy().tobytes())
    if len(set(group.gather(content.hexdigest()))) > 1:
        raise TrainingError(
            "the workers have other initial weights",
            where="workers",
            do="use machines with the same processor, versions and device",
        )


def _newest_step(run: RunFolder) -> int | None:
    newest = run.newest()
    return newest.step if newest else None


def new_model(training: Training, loaded: LoadedBackbone) -> TimeLLM:
    """An untrained model of a training: its linear part, and a network around the loaded backbone."""
    parameters = training.parameters
    groups = parameters.window, parameters.prompt, parameters.model
    model = TimeLLM.around(*groups, loaded, training.description, training.compute, training.linear)
    facts = training.data.scaled.facts
    if model.writer is not None and facts:  # a text that is too long would be an error in the middle of training
        names = training.linear.effects.names if training.linear.effects else ()
        rows = parameters.window.seq_len + parameters.window.pred_len
        known = KnownValues(names, np.full((1, rows, len(names)), -1.2345678e-05, dtype=np.float32)) if names else None
        longest = model.writer.about([max(facts, key=len)], known)
        model.writer.tokens(np.zeros((1, parameters.window.seq_len), dtype=np.float32), longest)
    return model


def choose_and_calibrate(
    model: TimeLLM, training: Training, found: PartErrors | None = None
) -> tuple[Alpha, float, Intervals]:
    """The weight of a trained network's output, the validation MSE with it, and the prediction intervals.

    Without a linear part the weight is 1.

    Args:
        found: errors of the model on validation; None: they are computed.

    Raises ModelError if an output of the network is not finite.
    """
    validation, evaluation = training.data.windows("validation"), training.parameters.evaluation
    found = found or part_errors(model, validation, evaluation.batch_size)
    found.refuse_not_finite()
    if model.linear.is_fitted:
        choice = choose_alpha(found)
        alpha, errors = choice.alpha, choice.errors
        log.info("%s", alpha.reason)
    else:
        alpha, errors = Alpha(alpha=1, fitted=1), found.residuals - found.corrections
    intervals = calibrate(errors, found.sample, validation, training.data.windows("train"), training.linear)
    return alpha, found.mse(alpha.alpha), intervals


@contextmanager
def memory_explained(training: Training) -> Iterator[None]:
    """Convert an out-of-memory error of a device into a TrainingError that names the settings to change."""
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
