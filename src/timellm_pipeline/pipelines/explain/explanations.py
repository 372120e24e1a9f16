"""The meaning of each number in the run plan, the parameter that sets it and the function that computes it."""

from typing import NamedTuple

from timellm_pipeline.durations import format_duration
from timellm_pipeline.evaluation.significance import needed_origins
from timellm_pipeline.parameters import EvaluationParams, ModelParams, WindowParams
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.steps import TEST_WINDOWS, TRAIN_WINDOWS, VALIDATION_WINDOWS
from timellm_pipeline.series.windows import derived_steps


class Explanation(NamedTuple):
    """The meaning of a number, the parameter that sets it, and the function that computes it."""

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
    "num_rows": Explanation(
        "rows of the series; missing rows that were filled in included (data.gaps)",
        "raw_csv",
        "series/validation.py validate_series",
    ),
    "num_channels": Explanation("channels that become windows", "window.features", "series/windows.py used_channels"),
    "train_rows": Explanation("rows for training", "split.method", BORDERS),
    "windows_per_channel": Explanation(
        "(train_rows - seq_len - pred_len) // window_step + 1", "window.window_step", "series/segments.py segments_of"
    ),
    "train_windows": Explanation(
        "windows_per_channel x num_channels, less those with filled-in rows under data.gaps=drop_windows, and those of "
        "series that start later or end earlier",
        "window.features",
        INDEX,
    ),
    "validation_windows": Explanation(
        "windows that choose the linear part and the weight of Time-LLM (without a linear part: the best model)",
        "evaluation.validation_step",
        INDEX,
    ),
    "test_windows": Explanation("windows of the final test", "evaluation.test_step", INDEX),
    "window_step": Explanation(
        "rows between the starts of neighbouring training windows",
        "window.window_step",
        "series/segments.py segments_of",
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


def plan_table(plan: RunPlan) -> str:
    """The plan as an aligned table: name, number, meaning."""
    rows = [(name, _format(plan, name), explanation.meaning) for name, explanation in EXPLANATIONS.items()]
    name_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"  {name:<{name_width}}  {value:>{value_width}}  {meaning}" for name, value, meaning in rows)


def steps_reason(plan: RunPlan, window: WindowParams, evaluation: EvaluationParams) -> str:
    """Why the steps between windows that the parameters leave open are as they are; empty if all are set."""
    derived = {name: getattr(plan, name) for name in derived_steps(window, evaluation)}
    if not derived:
        return ""
    listed = ", ".join(f"{name}={step}" for name, step in derived.items())
    if set(derived.values()) == {1}:
        return f"Steps between windows, derived from the number of windows: {listed}, so that every window is used."
    return (
        f"Steps between windows, derived from the number of windows: {listed}. They bound the time: the aim is "
        f"{TRAIN_WINDOWS:,} windows an epoch, {VALIDATION_WINDOWS:,} for validation and {TEST_WINDOWS:,} for the test, "
        f"with steps of at most a lookback (training) or a horizon. Here it is {plan.train_windows:,}, "
        f"{plan.validation_windows:,} and {plan.test_windows:,}. A step of 1 uses every window. The linear part does "
        "not depend on window_step."
    )


def outcome(plan: RunPlan, window: WindowParams, model: ModelParams) -> str:
    """What the training may end with, in a few sentences: the user should know before it starts."""
    if model.linear == "none":
        return "Time-LLM forecasts alone (`model.linear: none`). Validation selects the best step."
    origins = plan.validation_windows // (plan.num_channels if window.features == "M" else 1)
    needed = needed_origins(-(-plan.pred_len // plan.validation_step))
    text = (
        "The forecast is the linear part plus alpha times Time-LLM. Validation chooses alpha after the last step. If "
        "Time-LLM does not significantly improve the linear part there, alpha is 0: the linear part forecasts alone, "
        "and the trained correction is only kept."
    )
    if origins < needed:
        text += (
            f" Here that is to be expected: the test needs {needed:,} validation origins and there are {origins:,}. A "
            f"longer validation range has them (about {needed * plan.validation_step:,} rows)."
        )
    return text


def plan_markdown(
    plan: RunPlan, accumulate: int, seconds_per_step: float, window: WindowParams, model: ModelParams
) -> str:
    """The plan as a Markdown page: each number with its meaning, its parameter and its function."""
    rows = [
        f"| {name} | {_format(plan, name)} | {' | '.join(explanation)} |" for name, explanation in EXPLANATIONS.items()
    ]
    epoch, save, whole_run = (
        format_duration(steps * seconds_per_step) for steps in (plan.steps_per_epoch, plan.save_steps, plan.max_steps)
    )
    return "\n".join(
        [
            "# What this training will do",
            "",
            f"- One step is one iteration: one batch of {plan.batch_size:,} windows through the model. `save_steps`, "
            "`validate_steps` and `log_steps` count steps.",
            f"- {accumulate:,} step(s) make one update of the weights (`training.accumulate`).",
            f"- A window has {plan.patches_per_window:,} patches; a step processes {plan.patches_per_step:,} patches.",
            "- Windows are shuffled again in each epoch; patches and the points in them keep their order.",
            f"- At {seconds_per_step:g} s a step (`explain.seconds_per_step`) an epoch of {plan.steps_per_epoch:,} "
            f"steps takes {epoch}, the whole run at most {whole_run}; "
            f"checkpoints are {save} apart.",
            f"- {outcome(plan, window, model)}",
            "",
            "| number | value | meaning | parameter | function |",
            "|---|---:|---|---|---|",
            *rows,
            "",
        ]
    )


def _format(plan: RunPlan, name: str) -> str:
    value = getattr(plan, name)
    return f"{value:,}" if isinstance(value, int) else str(value)
