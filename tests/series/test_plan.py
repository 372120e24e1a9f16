"""The run plan comes to the numbers that the design promises, from numbers alone."""

import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

from conftest import make_inputs, plan_rows, small_parameters
from timellm_pipeline.errors import ParameterError
from timellm_pipeline.parameters import parse_parameters
from timellm_pipeline.pipelines.explain.explanations import EXPLANATIONS, plan_table
from timellm_pipeline.series.plan import RunPlan

CHANNELS = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
PROMISED_COUNTS = ("num_rows", "num_channels", "train_rows", "windows_per_channel", "train_windows")
PROMISED_WINDOWS = ("validation_windows", "test_windows", "window_step", "validation_step", "test_step")
PROMISED_LENGTHS = ("seq_len", "pred_len", "patch_len", "stride", "patches_per_window", "patches_per_step")
PROMISED_STEPS = ("steps_per_epoch", "updates_per_epoch", "save_steps", "checkpoints_per_epoch", "max_steps")
PROMISED_REST = ("batch_size", "num_workers", "shuffled")


def plan_of(num_rows: int, split: dict[str, Any] | None = None, **groups: dict[str, Any]) -> RunPlan:
    """The plan of a series of seven channels; `seq_len` 256, `pred_len` 96 and batches of 2 by default."""
    groups["window"] = {"seq_len": 256, "pred_len": 96, "patch_len": 16, "stride": 8, **groups.get("window", {})}
    groups["training"] = {"batch_size": 2, **groups.get("training", {})}
    return plan_rows(num_rows, CHANNELS, parse_parameters({"split": split or {"method": "ett_hour"}, **groups}))


def test_etth1_plan_has_the_numbers_of_the_design() -> None:
    """Without it a step could quietly become something else than two windows of 32 patches."""
    plan = plan_of(17_420)
    assert (plan.num_rows, plan.num_channels, plan.train_rows) == (17_420, 7, 8_640)
    assert (plan.windows_per_channel, plan.train_windows, plan.steps_per_epoch) == (8_289, 58_023, 29_011)
    assert (plan.patches_per_window, plan.patches_per_step) == (32, 64)
    assert (plan.validation_windows, plan.test_windows) == (7 * 2_785, 7 * 2_785)
    assert plan.shuffled == "windows"


def test_etth1_target_alone_has_4144_steps() -> None:
    """Without it `features: S` could still count, or train, seven channels."""
    plan = plan_of(17_420, window={"features": "S"})
    assert (plan.num_channels, plan.windows_per_channel, plan.train_windows) == (1, 8_289, 8_289)
    assert (plan.steps_per_epoch, plan.test_windows) == (4_144, 2_785)


def test_etth1_ms_trains_seven_channels_and_tests_one() -> None:
    """Without it the counts of `MS` could be those of `M` or of `S`."""
    plan = plan_of(17_420, window={"features": "MS"})
    assert (plan.num_channels, plan.windows_per_channel, plan.steps_per_epoch) == (7, 8_289, 29_011)
    assert (plan.validation_windows, plan.test_windows) == (2_785, 2_785)


@pytest.mark.parametrize(("features", "windows", "steps"), [("M", 57_288, 28_644), ("S", 8_184, 4_092)])
def test_ratio_file_of_12194_rows_has_the_numbers_of_the_design(features: str, windows: int, steps: int) -> None:
    """Without it a rounding of the ratios could move the borders by a row, and every count with them."""
    split = {"method": "ratio", "train_ratio": 0.7, "test_ratio": 0.2}
    plan = plan_of(12_194, split, window={"features": features})
    assert (plan.train_rows, plan.windows_per_channel) == (8_535, 8_184)
    assert (plan.train_windows, plan.steps_per_epoch) == (windows, steps)


def test_etth1_512_to_96_has_the_published_windows() -> None:
    """Without it our test windows would not be the 19,495 of every published ETTh1 table."""
    plan = plan_of(17_420, window={"seq_len": 512})
    assert plan.windows_per_channel == 8_033
    assert plan.validation_windows == plan.test_windows == 7 * 2_785 == 19_495
    assert plan.patches_per_window == 64


def test_few_shot_plan_has_the_published_windows() -> None:
    """Without it 10 % of the training windows could be 10 % of the rows, or shrink the test too."""
    plan = plan_of(17_420, {"method": "ett_hour", "train_percent": 10}, window={"seq_len": 512})
    assert (plan.train_rows, plan.windows_per_channel) == (1_324, 1_324 - 512 - 96 + 1)
    assert plan.test_windows == 19_495


def test_window_steps_thin_the_counts_as_the_explanation_says() -> None:
    """Without it the table's own formula, (train_rows - seq_len - pred_len) // window_step + 1, would be wrong."""
    plan = plan_of(17_420, window={"window_step": 11}, evaluation={"validation_step": 24, "test_step": 12})
    assert plan.windows_per_channel == (8_640 - 256 - 96) // 11 + 1 == 754
    assert plan.validation_windows == 7 * (2_784 // 24 + 1)
    assert plan.test_windows == 7 * (2_784 // 12 + 1)
    assert (plan.window_step, plan.validation_step, plan.test_step) == (11, 24, 12)


def test_last_group_of_an_accumulation_still_updates() -> None:
    """Without it the steps behind the last whole group would compute gradients for nothing."""
    assert plan_of(17_420, training={"accumulate": 4}).updates_per_epoch == 7_253  # 29,011 / 4 = 7,252.75
    assert plan_of(17_420, training={"accumulate": 1}).updates_per_epoch == 29_011


def test_checkpoints_validations_and_the_end_are_counted_in_steps() -> None:
    """Without it `save_steps` could count epochs or updates, and ten hours would have no checkpoint."""
    plan = plan_of(17_420, training={"save_steps": 1_000, "max_epochs": 3, "num_workers": 2})
    assert (plan.save_steps, plan.checkpoints_per_epoch, plan.max_steps) == (1_000, 29, 87_033)
    assert plan.validate_steps == plan.steps_per_epoch  # null: at the end of each epoch
    assert plan.num_workers == 2
    short = plan_of(17_420, training={"max_steps": 50, "validate_steps": 20})
    assert (short.max_steps, short.validate_steps, short.steps_per_epoch) == (50, 20, 29_011)
    assert plan_of(17_420, training={"max_steps": 10**9, "max_epochs": 1}).max_steps == 29_011


def test_batch_larger_than_all_windows_is_refused_with_the_number_that_fits() -> None:
    """Without it an epoch would have no step, and training would end before it began."""
    assert plan_of(17_420, training={"batch_size": 58_023}).steps_per_epoch == 1
    with pytest.raises(ParameterError, match=r"58024 windows is more than the 58023 training windows") as caught:
        plan_of(17_420, training={"batch_size": 58_024})
    assert caught.value.where == "training.batch_size"
    assert "58023 or less" in caught.value.do


def test_plan_holds_every_promised_field_and_explains_each() -> None:
    """Without it a tool that reads run_plan.json would miss a key, or the table would show a bare number."""
    fields = RunPlan.model_fields.keys()
    assert {*PROMISED_COUNTS, *PROMISED_WINDOWS, *PROMISED_LENGTHS, *PROMISED_STEPS, *PROMISED_REST} <= fields
    assert EXPLANATIONS.keys() == fields - {"data_id"}
    lines = plan_table(plan_of(17_420)).splitlines()
    assert len(lines) == len(EXPLANATIONS)
    by_name = {line.split()[0]: line for line in lines}
    for name, shown in {"train_windows": "58,023", "steps_per_epoch": "29,011", "shuffled": "windows"}.items():
        assert by_name[name].split()[1] == shown
        assert EXPLANATIONS[name].meaning in by_name[name]


def test_numbers_hold_under_gaps(raw_series: pd.DataFrame) -> None:
    """Without it the table would show a number beside a formula that gives another one."""
    gappy = raw_series.drop(index=[100, 101, 102]).reset_index(drop=True)
    whole = make_inputs(raw_series, small_parameters()).plan
    for gaps in ("interpolate", "drop_windows"):
        plan = make_inputs(gappy, small_parameters(data={"gaps": gaps})).plan
        assert plan.num_rows == 400 and "filled in included" in EXPLANATIONS["num_rows"].meaning
        assert plan.windows_per_channel == (plan.train_rows - 48 - 12) // 3 + 1 == whole.windows_per_channel
        left_out = 7 * plan.windows_per_channel - plan.train_windows
        assert (left_out > 0) == (gaps == "drop_windows")
    assert "filled-in rows" in EXPLANATIONS["train_windows"].meaning


def test_plan_is_made_without_torch_transformers_or_kedro() -> None:
    """Without it every parameter error would wait three seconds for an import."""
    modules = ", ".join(f"timellm_pipeline.series.{name}" for name in ("plan", "validation", "scaling", "windows"))
    heavy = ("torch", "transformers", "accelerate", "kedro")
    code = f"import sys, {modules}\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
