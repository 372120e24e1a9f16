"""The run plan: numbers of windows, patches, steps and checkpoints of a training run.

It is computed from the window index and the parameters, without torch and without a backbone.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from timellm_pipeline.errors import ParameterError
from timellm_pipeline.parameters import EvaluationParams, TrainingParams, WindowParams
from timellm_pipeline.series.windows import WindowIndex


class RunPlan(BaseModel):
    """Counts of one training run; `EXPLANATIONS` describes each of them."""

    model_config = ConfigDict(frozen=True)

    data_id: str
    num_rows: int
    num_channels: int
    train_rows: int
    windows_per_channel: int
    train_windows: int
    validation_windows: int
    test_windows: int
    window_step: int
    validation_step: int
    test_step: int
    seq_len: int
    pred_len: int
    patch_len: int
    stride: int
    batch_size: int
    num_workers: int
    steps_per_epoch: int
    updates_per_epoch: int
    patches_per_window: int
    patches_per_step: int
    save_steps: int
    validate_steps: int
    checkpoints_per_epoch: int
    max_steps: int
    shuffled: Literal["windows"] = "windows"


def plan_run(
    index: WindowIndex,
    num_rows: int,
    train_rows: int,
    window: WindowParams,
    training: TrainingParams,
    evaluation: EvaluationParams,
) -> RunPlan:
    """The run plan of a window index.

    Args:
        num_rows: rows of the time grid.
        train_rows: rows of the training range.

    Raises ParameterError if `training.batch_size` exceeds the number of training windows.
    """
    windows, facts = index.counts(), index.facts
    steps = windows["train"] // training.batch_size
    if steps == 0:
        raise ParameterError(
            f"a batch of {training.batch_size} windows is more than the {windows['train']} training windows",
            where="training.batch_size",
            do=f"lower training.batch_size to {windows['train']} or less"
            + (", or lower window.window_step" if facts.window_step > 1 else ""),
        )
    max_steps = steps * training.max_epochs
    if training.max_steps is not None:
        max_steps = min(max_steps, training.max_steps)
    return RunPlan(
        data_id=facts.data_id,
        num_rows=num_rows,
        num_channels=len(index.ids),
        train_rows=train_rows,
        windows_per_channel=(train_rows - window.seq_len - window.pred_len) // facts.window_step + 1,
        train_windows=windows["train"],
        validation_windows=windows["validation"],
        test_windows=windows["test"],
        window_step=facts.window_step,
        validation_step=facts.validation_step,
        test_step=facts.test_step,
        seq_len=window.seq_len,
        pred_len=window.pred_len,
        patch_len=window.patch_len,
        stride=window.stride,
        batch_size=training.batch_size,
        num_workers=training.num_workers,
        steps_per_epoch=steps,
        updates_per_epoch=-(-steps // training.accumulate),
        patches_per_window=window.patches_per_window,
        patches_per_step=window.patches_per_window * training.batch_size,
        save_steps=training.save_steps,
        validate_steps=training.validate_steps or steps,
        checkpoints_per_epoch=steps // training.save_steps,
        max_steps=max_steps,
    )
