"""Convert a checkpoint into a model without training, so that a long run can be evaluated before it ends."""

from pathlib import Path

import pandas as pd

from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.evaluation.alpha import Alpha
from timellm_pipeline.model.saved import TrainedModel
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.training.checkpoint import Checkpoint
from timellm_pipeline.training.drift import refuse_other_part
from timellm_pipeline.training.fit import choose_and_calibrate, new_model
from timellm_pipeline.training.history import read_history
from timellm_pipeline.training.preparation import Training
from timellm_pipeline.training.result import read_finished, read_intervals


def publish_checkpoint(training: Training, which: str) -> tuple[TrainedModel, pd.DataFrame]:
    """The model of a checkpoint of this training, and the history up to its step.

    Args:
        which: `newest`, `best`, or the path of one of this training's checkpoint folders.

    Raises CheckpointError when there is no checkpoint, it is damaged, or it belongs to another training.
    """
    checkpoint = _find_checkpoint(training, which)
    refuse_other_part(training, checkpoint.content, checkpoint.folder)
    state = checkpoint.state()
    run, is_best = state["run"], state["run"]["best_step"] == checkpoint.step
    finished = read_finished(training.run.folder)
    intervals, mse = None, run["best_mse"] if is_best else None
    alpha = Alpha(alpha=1, fitted=1)
    if finished is not None and finished.best_step == checkpoint.step:
        num_channels, pred_len = len(training.data.scaler.channels), training.parameters.window.pred_len
        intervals = read_intervals(training.run.folder, finished, num_channels, pred_len)
        alpha, mse = finished.alpha, finished.validation_mse
    elif training.linear.is_fitted:
        # The weight of a correction is chosen on validation, which needs its forecasts.
        trained = new_model(training, training.source.load(training.parameters.backbone, training.compute))
        trained.network.load_trainables(checkpoint.model_weights())
        alpha, mse, intervals = choose_and_calibrate(trained, training)
    config = training.model_config(
        content_id=digest_of(checkpoint.content),
        counts=state["parameters"],
        best_step=checkpoint.step,
        validation_mse=mse,
        alpha=alpha,
    )
    model = TrainedModel(config, checkpoint.model_weights(), training.data.scaler, training.linear, intervals)
    return model, read_history(checkpoint.history())


def _find_checkpoint(training: Training, which: str) -> Checkpoint:
    run = training.run
    if which not in ("newest", "best"):
        path = Path(which)
        if path.resolve().parent != run.folder.resolve():
            raise CheckpointError(
                "this is not a checkpoint of the training that the parameters and the data describe",
                where=f"{path} (expected inside {run.folder})",
                do="use the same --env and --params as for that training",
            )
        return run.read(path)
    newest = run.newest() if run.folder.is_dir() else None
    if newest is None:
        raise CheckpointError(
            "this training has no checkpoint yet",
            where=str(run.folder),
            do="use the same --env and --params as for the training, or wait for its first checkpoint (save_steps)",
        )
    if which == "newest":
        return newest
    best_step = newest.state()["run"]["best_step"]
    if best_step is None:
        raise CheckpointError(
            "there is no best checkpoint yet",
            where=str(run.folder),
            do="publish checkpoint=newest, or wait for the first validation (with a linear part, for the last step)",
        )
    return run.at(best_step)
