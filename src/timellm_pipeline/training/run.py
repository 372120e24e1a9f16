"""One training, from its data to a model: what it is, whether it is finished, where it goes on, what comes out."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

import timellm_pipeline
from timellm_pipeline.errors import CheckpointError, TrainingError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute, resolve_compute
from timellm_pipeline.model.prompt import describe_series
from timellm_pipeline.model.saved import ModelConfig, TrainedModel
from timellm_pipeline.model.timellm import TimeLLM, count_parameters
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import refuse_mixed_data, windows_of
from timellm_pipeline.training.checkpoint import Checkpoint, CheckpointStore, RunFolder
from timellm_pipeline.training.history import read_history
from timellm_pipeline.training.identity import content_facts, differences, training_facts
from timellm_pipeline.training.loop import TrainingLoop
from timellm_pipeline.training.randomness import seed_everything

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingInputs:
    """The data of one training, all of one data id."""

    scaled_series: pd.DataFrame
    scaler: Scaler
    window_index: pd.DataFrame
    plan: RunPlan


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
) -> TrainingResult:
    """Train, resume or republish: the model that validation chose.

    Args:
        version: name of the model version that will be saved, to be remembered by later republications.

    Raises:
        UserError: anything that a user can mend, before the backbone is loaded where it can be known before.
        TrainingStopped: after a signal, with a checkpoint written.
    """
    refuse_mixed_data(
        scaled_series=inputs.scaled_series.attrs.get("data_id"),
        scaler=inputs.scaler.data_id,
        window_index=inputs.window_index.attrs.get("data_id"),
        run_plan=inputs.plan.data_id,
    )
    compute = resolve_compute(parameters.training.precision)
    identity = source.identity(parameters.backbone)
    description = _describe(inputs, parameters)
    facts = training_facts(
        scaled_series=inputs.scaled_series,
        window_index=inputs.window_index,
        description=description,
        window=parameters.window,
        prompt=parameters.prompt,
        model=parameters.model,
        backbone=parameters.backbone,
        training=parameters.training,
        evaluation=parameters.evaluation,
        backbone_identity=identity,
        compute=compute,
    )
    training_id = digest_of(facts)
    content = content_facts(training_id, compute)
    content_id = digest_of(content)
    log.info("training id %s · content id %s", training_id[:16], content_id[:16])
    run = store.run(training_id)
    finished = run.finished()
    if finished is not None and parameters.training.force:
        log.info("training.force: the finished result of this training is put aside")
        run.unfinish()
        finished = None
    steps_run = 0
    if finished is None:
        finished, steps_run = _train_to_the_end(
            inputs, parameters, source, store, run, facts, content, compute, description, version
        )
    else:
        log.info(
            "this training has finished before (in version %s): nothing is trained, its model is saved again",
            finished["trained_in"],
        )
    best = run.at(finished["best_step"])
    config = ModelConfig(
        package_version=timellm_pipeline.__version__,
        training_id=training_id,
        content_id=finished["content_id"],
        data=parameters.data,
        split=parameters.split,
        window=parameters.window,
        prompt=parameters.prompt,
        model=parameters.model,
        backbone=parameters.backbone,
        evaluation=parameters.evaluation,
        precision=compute.precision,
        backbone_identity=identity,
        description=description,
        channels=inputs.scaler.channels,
        frequency=inputs.scaled_series.attrs["frequency"],
        parameters=finished["parameters"],
        best_step=best.step,
        validation_mse=finished["validation_mse"],
    )
    return TrainingResult(
        model=TrainedModel(config, best.weights(), inputs.scaler),
        history=read_history(finished["history"]),
        record={
            "training_id": training_id,
            "content_id": finished["content_id"],
            "trained": steps_run > 0 or finished["trained_in"] == version,
            "trained_in": finished["trained_in"],
            "steps_run": steps_run,
            "steps": finished["steps"],
            "resumed_from": [resumed["step"] for resumed in finished["resumed"]],
            "resume_chain": finished["resumed"],
            "best_step": best.step,
            "validation_mse": finished["validation_mse"],
            "stop_reason": finished["stop_reason"],
            "parameters": finished["parameters"],
            "backbone": identity,
            "content": content,
        },
    )


def _train_to_the_end(
    inputs: TrainingInputs,
    parameters: Parameters,
    source: BackboneSource,
    store: CheckpointStore,
    run: RunFolder,
    facts: Mapping[str, Any],
    content: Mapping[str, Any],
    compute: Compute,
    description: str,
    version: str,
) -> tuple[dict[str, Any], int]:
    """Train from the newest checkpoint or from the start. Returns the finished marker and the steps run here."""
    training = parameters.training
    checkpoint = run.newest() if run.folder.is_dir() else None
    if checkpoint is None:
        _say_what_differs(store, run, facts)
    run.open(facts)
    drift = [] if checkpoint is None else _drift(checkpoint, content, training.resume)
    if training.deterministic:
        torch.use_deterministic_algorithms(True)
    loaded = source.load(parameters.backbone, compute.backbone_dtype(parameters.backbone))
    seed_everything(training.seed)  # after loading, which may draw random numbers of its own
    model = TimeLLM.around(parameters.window, parameters.prompt, parameters.model, loaded, description)
    model.to(compute.device)
    counts = count_parameters(model)
    log.info(
        "%s trainable and %s frozen parameters; %s in %s on %s; prompts run as a %s",
        f"{counts['trainable']:,}",
        f"{counts['frozen']:,}",
        parameters.backbone.name,
        compute.backbone_dtype(parameters.backbone),
        compute.device,
        "frozen prefix" if model.road == "prefix" else "plain forward",
    )
    loop = TrainingLoop(
        model,
        windows_of(inputs.scaled_series, inputs.window_index, "train", parameters.window),
        windows_of(inputs.scaled_series, inputs.window_index, "validation", parameters.window),
        inputs.plan,
        training,
        parameters.evaluation,
        compute,
        run,
        content,
    )
    if checkpoint is not None:
        loop.restore(checkpoint, drift)
        log.info("going on from step %s (%s)", f"{checkpoint.step:,}", checkpoint.folder)
    log.info("history %s · checkpoints %s", run.live_history, run.folder)
    stop_reason, steps_run = loop.run()
    state = loop.state
    if state.best_step is None or loop.history is None:
        raise TrainingError(
            "no validation gave a finite number, so there is no best model",
            where=str(run.folder),
            do="lower training.learning_rate, or look for extreme values in the series",
        )
    finished = {
        "best_step": state.best_step,
        "validation_mse": state.best_mse,
        "stop_reason": stop_reason,
        "steps": state.step,
        "resumed": state.resumed,
        "parameters": counts,
        "trained_in": version,
        "content_id": digest_of(content),
        "history": loop.history.text,
    }
    run.finish(finished)
    return finished, steps_run


def _describe(inputs: TrainingInputs, parameters: Parameters) -> str:
    facts, dates = inputs.scaled_series.attrs, inputs.scaled_series["date"]
    first, last = inputs.scaler.rows
    return describe_series(
        parameters.prompt,
        channels=inputs.scaler.channels,
        frequency=facts["frequency"],
        first=str(dates.iloc[first]),
        last=str(dates.iloc[last - 1]),
        sha256=facts.get("sha256"),
    )


def _say_what_differs(store: CheckpointStore, run: RunFolder, facts: Mapping[str, Any]) -> None:
    other = store.newest_other(run.training_id)
    if other is not None:
        name, theirs = other
        log.info(
            "a new training; it differs from the newest other one (%s) in %s",
            name[:16],
            "; ".join(differences(facts, theirs)) or "nothing that is recorded",
        )


def _drift(checkpoint: Checkpoint, content: Mapping[str, Any], resume: str) -> list[str]:
    """What computes now and did not compute then. The work is not lost for it, but it is said and recorded."""
    drift = differences(content, checkpoint.content)
    if drift and resume == "exact":
        raise CheckpointError(
            f"the checkpoint of step {checkpoint.step:,} was computed by something else: {'; '.join(drift)}",
            where=str(checkpoint.folder),
            do="go back to that version, or set training.resume=auto to go on without byte equality",
        )
    for difference in drift:
        log.warning("going on, but not byte-equal to an undisturbed run: %s", difference)
    return drift
