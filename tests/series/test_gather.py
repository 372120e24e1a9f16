"""A batch of windows is what a slice for each of them would give, and never of two runs' data."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from conftest import make_inputs, make_panel, small_parameters
from timellm_pipeline.errors import ModelError
from timellm_pipeline.parameters import EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES, split_borders
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.series.windows import Windows, build_window_index, used_channels

CHANNELS = ["A", "B", "OT"]
NUM_ROWS = 300
WINDOW = WindowParams(seq_len=24, pred_len=6)


def make_scaled(channels: list[str]) -> Panel:
    """Values that tell channel and row: 1000 x channel + row."""
    rows = np.arange(NUM_ROWS, dtype=np.float32)
    return make_panel({name: 1000 * CHANNELS.index(name) + rows for name in channels}, data_id="id")


def make_windows(split: str, window: WindowParams, channels: list[str]) -> Windows:
    """Windows of 300 rows: 210 to train, 30 to validate, 60 to test."""
    panel = make_scaled(used_channels(channels, window))
    borders = split_borders(NUM_ROWS, SplitParams(), window)
    index = build_window_index(panel, borders, SplitParams(), window, EvaluationParams(), "id")
    return Windows(panel, index.splits[split], window.seq_len, window.pred_len)


@pytest.mark.parametrize("columns", [CHANNELS, ["OT", "A", "B"]])
@pytest.mark.parametrize("split", RANGES)
def test_gather_equals_a_slice_for_each_window(split: str, columns: list[str]) -> None:
    """Without it one wrong index would train on other rows or channels, and the loss would still go down."""
    windows = make_windows(split, WINDOW, columns)
    which = np.random.default_rng(0).permutation(len(windows))[:50]
    which = np.concatenate([which, which[:1], [0, len(windows) - 1]])  # a repeated one, the first and the last
    x, y = windows.gather(which)
    assert x.dtype == y.dtype == np.float32
    numbers, starts = windows.segments.locate(which)
    for row, (number, start) in enumerate(zip(numbers, starts, strict=True)):
        values = 1000 * CHANNELS.index(columns[number]) + np.arange(NUM_ROWS)
        assert windows.names[number] == columns[number]
        np.testing.assert_array_equal(x[row], values[start : start + 24])
        np.testing.assert_array_equal(y[row], values[start + 24 : start + 30])


def test_gather_of_one_channel_and_no_window_keeps_its_shape() -> None:
    """Without it an empty batch or a series of one channel could change the number of axes."""
    windows = make_windows("train", WindowParams(seq_len=24, pred_len=6, features="S"), CHANNELS)
    x, y = windows.gather(np.array([], dtype=np.int64))
    assert (x.shape, y.shape) == ((0, 24), (0, 6))
    assert windows.gather(np.array([3]))[1].tolist() == [[2000 + row for row in range(27, 33)]]


def test_ms_gathers_the_target_alone_for_the_test() -> None:
    """Without it the target's windows could be cut from the channel that happens to stand first."""
    test = make_windows("test", WindowParams(seq_len=24, pred_len=6, features="MS", target="B"), CHANNELS)
    x, y = test.gather(np.arange(len(test)))
    assert x[0].tolist() == [1000 + row for row in range(216, 240)]
    assert (y // 1000 == 1).all()


@pytest.mark.parametrize("changed", ["scaled", "scaler", "index", "plan"])
def test_data_of_another_data_id_is_refused(raw_series: pd.DataFrame, changed: str) -> None:
    """Without it the windows of one run would be cut from the values of another."""
    data = make_inputs(raw_series, small_parameters())
    parts = {name: getattr(data, name) for name in ("scaled", "scaler", "index", "plan")}
    assert TrainingData(**parts).scaled is data.scaled  # equal ids pass
    other = "a" * 64
    if changed == "scaled":
        parts["scaled"] = replace(data.scaled, data_id=other)
    elif changed == "index":
        parts["index"] = replace(data.index, facts=data.index.facts.model_copy(update={"data_id": other}))
    else:
        parts[changed] = parts[changed].model_copy(update={"data_id": other})
    with pytest.raises(ModelError, match="not made from the same data") as caught:
        TrainingData(**parts)
    assert "aaaaaaaaaaaa" in caught.value.what and "kedro run" in caught.value.do


def test_a_panel_in_original_units_is_no_training_data(raw_series: pd.DataFrame) -> None:
    """Without it a model could be trained on values that were never scaled."""
    data = make_inputs(raw_series, small_parameters())
    with pytest.raises(ModelError, match="scaled_series None"):
        replace(data, scaled=replace(data.scaled, data_id=None))
