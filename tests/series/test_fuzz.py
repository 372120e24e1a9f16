"""Whatever file and parameters come in: a plan that keeps its promises, or one of our errors that names a place.

A quick profile runs in the suite; `make fuzz` runs 2,000 examples of each property (TIMELLM_FUZZ sets how many).
"""

import io
import os
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import make_inputs
from synthetic import synthetic_series
from timellm_pipeline.errors import UserError
from timellm_pipeline.parameters import Parameters, parse_parameters
from timellm_pipeline.series.reading import RawFile, read_table

EXAMPLES = int(os.environ.get("TIMELLM_FUZZ", "60"))
PROFILE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 100,  # the suite's own run is the same each time
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
BASE: dict[str, Any] = {
    "window": {"seq_len": 24, "pred_len": 6, "patch_len": 8, "stride": 4},
    "backbone": {"name": "none"},
    "training": {"batch_size": 4},
}
GOOD = synthetic_series(num_rows=120, seed=3).to_csv(index=False)
JUNK = st.sampled_from(
    ["", "\t", "\u200b1", "9" * 400]
    + """x NaN inf -inf 1e400 1e300 1,5 "1,234" now 2020-01-01 " ' ; \\ 0x10 1.5.2 −3 ٣ 1_000 True None #REF! 中文 -0
    1e-400 NaT 12:30""".split()
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good file with a few random wounds."""
    lines = GOOD.splitlines()
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["cell", "line", "drop", "double", "swap", "cut", "header", "column", "constant"]))
        row = draw(st.integers(0, len(lines) - 1)) if lines else 0
        if not lines:
            break
        cells = lines[row].split(",")
        column = draw(st.integers(0, max(len(cells) - 1, 0)))
        if kind == "cell":
            cells[column] = draw(JUNK | st.text(max_size=6))
            lines[row] = ",".join(cells)
        elif kind == "line":
            lines[row] = draw(st.text(max_size=20) | st.just(""))
        elif kind == "drop":
            del lines[row : row + draw(st.integers(1, 60))]
        elif kind == "double":
            lines.insert(row, lines[row])
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[row], lines[other] = lines[other], lines[row]
        elif kind == "cut":
            lines = lines[:row]
        elif kind == "header":
            lines[0] = ",".join(draw(st.permutations(lines[0].split(","))))
        elif kind == "column":
            lines = [",".join(part for n, part in enumerate(line.split(",")) if n != column) for line in lines]
        else:
            value = draw(JUNK)
            lines = [",".join([*line.split(",")[:-1], value]) if n else line for n, line in enumerate(lines)]
    text = draw(st.sampled_from(["\n", "\r\n"])).join(lines)
    encoded = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"])), errors="replace")
    if draw(st.integers(0, 9)) == 0 and encoded:
        place = draw(st.integers(0, len(encoded) - 1))
        encoded = encoded[:place] + draw(st.binary(max_size=4)) + encoded[place + 1 :]
    return encoded


ODD = [10**9, 2**63, 0.5, float("nan"), float("inf"), True, None, "12", "many", []]
NUMBERS = st.integers(-2, 200) | st.sampled_from(ODD)
KEYS = {
    "window": "seq_len pred_len window_step patch_len stride features target seqlen".split(),
    "split": "method train_ratio test_ratio train_percent".split(),
    "training": "batch_size max_steps max_epochs accumulate save_steps learning_rate validate_steps".split(),
    "evaluation": "validation_step test_step batch_size season".split(),
    "model": "prototypes num_prototypes d_model dropout".split(),
    "data": "gaps date_column csv".split(),
    "forecast": "levels origins".split(),
}
WORDS = st.sampled_from("M S MS OT HUFL ratio ett_hour free vocabulary interpolate drop_windows".split())


@st.composite
def parameter_sets(draw: st.DrawFn) -> dict[str, Any]:
    """Base parameters with a few random values."""
    raw = {name: dict(group) for name, group in BASE.items()}
    for _ in range(draw(st.integers(0, 4))):
        group = draw(st.sampled_from(sorted(KEYS)))
        value = draw(NUMBERS | WORDS | st.floats(-2, 2))
        raw.setdefault(group, {})[draw(st.sampled_from(KEYS[group]))] = value
    if draw(st.integers(0, 19)) == 0:
        raw[draw(st.sampled_from(["windows", "trainning", "forecast"]))] = {}
    return raw


def check_promises(parameters: Parameters, frame: pd.DataFrame) -> None:
    """What has to be true of every plan and of every scaled series."""
    inputs = make_inputs(frame, parameters)
    plan, window = inputs.plan, parameters.window
    assert np.isfinite(inputs.scaled.values).all()
    most = plan.windows_per_channel * plan.num_channels
    assert plan.train_windows == most or (inputs.scaled.drop_filled and plan.train_windows < most)
    assert plan.steps_per_epoch == plan.train_windows // plan.batch_size >= 1
    assert plan.patches_per_window == (window.seq_len - window.patch_len) // window.stride + 2
    assert plan.validation_windows >= 1 and plan.test_windows >= 1 and plan.max_steps >= 1
    for split in ("train", "validation", "test"):
        windows = inputs.windows(split)
        _, starts = windows.segments.locate(np.array([0, len(windows) - 1]))
        assert starts.min() >= 0 and starts.max() + window.seq_len + window.pred_len <= inputs.scaled.num_rows


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # a file is long
@PROFILE
@given(content=damaged(), gaps=st.sampled_from(["error", "interpolate", "drop_windows"]))
def test_a_damaged_file_is_a_plan_or_one_of_our_errors(content: bytes, gaps: str) -> None:
    """An exception of pandas' own names no line; a NaN that is let in trains on."""
    parameters = parse_parameters({**BASE, "data": {"gaps": gaps}})
    try:
        check_promises(parameters, read_table(RawFile("fuzzed.csv", content), parameters.data))
    except UserError as error:
        assert error.what and error.where and error.do


@PROFILE
@given(raw=parameter_sets())
def test_any_parameters_are_a_plan_or_one_of_our_errors(raw: dict[str, Any]) -> None:
    """A value that means nothing must not reach numpy."""
    frame = pd.read_csv(io.StringIO(GOOD))
    try:
        check_promises(parse_parameters(raw), frame)
    except UserError as error:
        assert error.what and error.where and error.do
