"""The run plan: how many windows, patches, steps and checkpoints there will be, from numbers alone.

This is where the program answers what one step is and how many there are, before anything heavy is imported.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from timellm_pipeline.errors import ParameterError
from timellm_pipeline.parameters import EvaluationParams, TrainingParams, WindowParams
from timellm_pipeline.series.borders import Borders


class RunPlan(BaseModel):
    """Counts of one training run; each is explained by `EXPLANATIONS`."""

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


EXPLANATIONS = {
    "num_rows": "rows of the raw CSV",
    "num_channels": "channels that become windows (window.features)",
    "train_rows": "rows for training (split.method)",
    "windows_per_channel": "(train_rows - seq_len - pred_len) // window_step + 1",
    "train_windows": "windows_per_channel x num_channels",
    "validation_windows": "windows that choose the best model (evaluation.validation_step)",
    "test_windows": "windows of the final test (evaluation.test_step)",
    "window_step": "rows between the starts of neighbouring training windows",
    "validation_step": "the same for validation",
    "test_step": "the same for the test",
    "seq_len": "points of a window that the model sees",
    "pred_len": "points that it forecasts",
    "patch_len": "points in a patch",
    "stride": "points between the starts of neighbouring patches",
    "batch_size": "windows in a batch",
    "num_workers": "processes that prepare batches; never changes a count",
    "steps_per_epoch": "train_windows // batch_size; one step = one iteration = one batch",
    "updates_per_epoch": "optimizer updates: one each training.accumulate steps",
    "patches_per_window": "(seq_len - patch_len) // stride + 2",
    "patches_per_step": "patches_per_window x batch_size",
    "save_steps": "steps between checkpoints",
    "validate_steps": "steps between validations",
    "checkpoints_per_epoch": "steps_per_epoch // save_steps, and one with each new best model",
    "max_steps": "steps of the whole run at most",
    "shuffled": "windows change order each epoch; patches never do",
}


def plan_run(
    windows: dict[str, int],
    num_channels: int,
    borders: Borders,
    window: WindowParams,
    training: TrainingParams,
    evaluation: EvaluationParams,
    data_id: str,
) -> RunPlan:
    """Every count of the run. `windows` holds the number of windows of each split.

    Raises ParameterError when a batch holds more windows than there are.
    """
    steps = windows["train"] // training.batch_size
    if steps == 0:
        raise ParameterError(
            f"a batch of {training.batch_size} windows is more than the {windows['train']} training windows",
            where="training.batch_size",
            do=f"lower training.batch_size to {windows['train']} or less, or lower window.window_step",
        )
    max_steps = steps * training.max_epochs
    if training.max_steps is not None:
        max_steps = min(max_steps, training.max_steps)
    return RunPlan(
        data_id=data_id,
        num_rows=borders.num_rows,
        num_channels=num_channels,
        train_rows=borders.train_rows,
        windows_per_channel=windows["train"] // num_channels,
        train_windows=windows["train"],
        validation_windows=windows["validation"],
        test_windows=windows["test"],
        window_step=window.window_step,
        validation_step=evaluation.validation_step,
        test_step=evaluation.test_step,
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


def plan_table(plan: RunPlan) -> str:
    """The plan as an aligned table: name, number, what it means."""
    rows = [(name, getattr(plan, name), meaning) for name, meaning in EXPLANATIONS.items()]
    shown = [(name, f"{value:,}" if isinstance(value, int) else value, meaning) for name, value, meaning in rows]
    name_width, value_width = (max(len(row[column]) for row in shown) for column in (0, 1))
    return "\n".join(f"  {name:<{name_width}}  {value:>{value_width}}  {meaning}" for name, value, meaning in shown)
