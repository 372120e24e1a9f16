"""The run plan: how many windows, patches, steps and checkpoints there will be, from numbers alone.

This is where the program answers what one step is and how many there are, before anything heavy is imported.
"""

from typing import Literal, NamedTuple

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


class Explanation(NamedTuple):
    """What a number means, the parameter that sets it, and the function that makes it."""

    meaning: str
    parameter: str
    function: str


BORDERS, INDEX, PLAN = (
    "series/borders.py split_borders",
    "series/windows.py build_window_index",
    "series/plan.py plan_run",
)
ORDER, LOOP = "training/order.py batch_order", "training/loop.py TrainingLoop._after_update"
EXPLANATIONS = {
    "num_rows": Explanation("rows of the raw CSV", "raw_csv", "series/validation.py validate_series"),
    "num_channels": Explanation("channels that become windows", "window.features", "series/windows.py used_channels"),
    "train_rows": Explanation("rows for training", "split.method", BORDERS),
    "windows_per_channel": Explanation(
        "(train_rows - seq_len - pred_len) // window_step + 1", "window.window_step", "series/windows.py window_starts"
    ),
    "train_windows": Explanation("windows_per_channel x num_channels", "window.features", INDEX),
    "validation_windows": Explanation("windows that choose the best model", "evaluation.validation_step", INDEX),
    "test_windows": Explanation("windows of the final test", "evaluation.test_step", INDEX),
    "window_step": Explanation(
        "rows between the starts of neighbouring training windows",
        "window.window_step",
        "series/windows.py window_starts",
    ),
    "validation_step": Explanation("the same for validation", "evaluation.validation_step", INDEX),
    "test_step": Explanation("the same for the test", "evaluation.test_step", INDEX),
    "seq_len": Explanation(
        "points of a window that the model sees", "window.seq_len", "series/windows.py Windows.gather"
    ),
    "pred_len": Explanation("points that it forecasts", "window.pred_len", "series/windows.py Windows.gather"),
    "patch_len": Explanation("points in a patch", "window.patch_len", "model/patches.py cut_into_patches"),
    "stride": Explanation(
        "points between the starts of neighbouring patches", "window.stride", "model/patches.py cut_into_patches"
    ),
    "batch_size": Explanation("windows in a batch", "training.batch_size", ORDER),
    "num_workers": Explanation(
        "processes that prepare batches; never changes a count", "training.num_workers", "model/batches.py load_batches"
    ),
    "steps_per_epoch": Explanation(
        "train_windows // batch_size; one step = one iteration = one batch", "training.batch_size", PLAN
    ),
    "updates_per_epoch": Explanation(
        "optimizer updates: one each training.accumulate steps",
        "training.accumulate",
        "training/updates.py Updates.after",
    ),
    "patches_per_window": Explanation(
        "(seq_len - patch_len) // stride + 2", "window.stride", "parameters/window.py WindowParams.patches_per_window"
    ),
    "patches_per_step": Explanation("patches_per_window x batch_size", "training.batch_size", PLAN),
    "save_steps": Explanation("steps between checkpoints", "training.save_steps", LOOP),
    "validate_steps": Explanation("steps between validations", "training.validate_steps", LOOP),
    "checkpoints_per_epoch": Explanation(
        "steps_per_epoch // save_steps, and one with each new best model", "training.save_steps", PLAN
    ),
    "max_steps": Explanation("steps of the whole run at most", "training.max_epochs, training.max_steps", PLAN),
    "shuffled": Explanation("windows change order each epoch; patches never do", "training.seed", ORDER),
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
    shown = [(name, _shown(plan, name), of.meaning) for name, of in EXPLANATIONS.items()]
    name_width, value_width = (max(len(row[column]) for row in shown) for column in (0, 1))
    return "\n".join(f"  {name:<{name_width}}  {value:>{value_width}}  {meaning}" for name, value, meaning in shown)


def plan_markdown(plan: RunPlan, accumulate: int, seconds_per_step: float) -> str:
    """The plan as a Markdown page: each number with its meaning, its parameter and its function."""
    rows = [f"| {name} | {_shown(plan, name)} | {' | '.join(of)} |" for name, of in EXPLANATIONS.items()]
    epoch, save = plan.steps_per_epoch * seconds_per_step, plan.save_steps * seconds_per_step
    return "\n".join(
        [
            "# What this training will do",
            "",
            f"- One step is one iteration: one batch of {plan.batch_size:,} windows through the model. `save_steps`, "
            "`validate_steps` and `log_steps` count steps.",
            f"- {accumulate:,} step(s) make one update of the weights (`training.accumulate`).",
            f"- A window gives {plan.patches_per_window:,} patches; a step sees {plan.patches_per_step:,} of them.",
            "- Windows are shuffled anew each epoch; patches and the points in them keep their order.",
            f"- At {seconds_per_step:g} s a step (`explain.seconds_per_step`) an epoch of {plan.steps_per_epoch:,} "
            f"steps takes {in_words(epoch)}, the whole run at most {in_words(plan.max_steps * seconds_per_step)}; "
            f"checkpoints come {in_words(save)} apart.",
            "",
            "| number | value | meaning | parameter | function |",
            "|---|---:|---|---|---|",
            *rows,
            "",
        ]
    )


def in_words(seconds: float) -> str:
    """A duration for people: `45 s`, `12 min`, `8 h 04 min`, `3 d 02 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def _shown(plan: RunPlan, name: str) -> str:
    value = getattr(plan, name)
    return f"{value:,}" if isinstance(value, int) else str(value)
