"""A batch of windows is what a slice for each of them would give, and never of two runs' data."""

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.errors import ModelError
from timellm_pipeline.parameters import EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES, split_borders
from timellm_pipeline.series.windows import build_window_index, refuse_mixed_data, used_channels, windows_of

CHANNELS = ["A", "B", "OT"]
NUM_ROWS = 300
WINDOW = WindowParams(seq_len=24, pred_len=6)


def make_index(window: WindowParams) -> pd.DataFrame:
    """The index of 300 rows: 210 to train, 30 to validate, 60 to test."""
    borders = split_borders(NUM_ROWS, SplitParams(), window)
    return build_window_index(used_channels(CHANNELS, window), borders, window, EvaluationParams(), "id")


def make_scaled(channels: list[str]) -> pd.DataFrame:
    """Values that tell channel and row: 1000 x channel + row."""
    rows = np.arange(NUM_ROWS, dtype=np.float32)
    frame = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=NUM_ROWS, freq="h")})
    for name in channels:
        frame[name] = 1000 * CHANNELS.index(name) + rows
    frame.attrs["data_id"] = "id"
    return frame


@pytest.mark.parametrize("columns", [CHANNELS, ["OT", "A", "B"]])
@pytest.mark.parametrize("split", RANGES)
def test_gather_equals_a_slice_for_each_window(split: str, columns: list[str]) -> None:
    """Without it one wrong index would train on other rows or channels, and the loss would still go down."""
    scaled, index = make_scaled(columns), make_index(WINDOW)
    windows = windows_of(scaled, index, split, WINDOW)
    listed = index[index["split"] == split]
    which = np.random.default_rng(0).permutation(len(listed))[:50]
    which = np.concatenate([which, which[:1], [0, len(listed) - 1]])  # a repeated one, the first and the last
    x, y = windows.gather(which)
    assert len(windows) == len(listed)
    assert x.dtype == y.dtype == np.float32
    for row, number in enumerate(which):
        channel, start = listed["channel"].iloc[number], int(listed["start"].iloc[number])
        values = scaled[channel].to_numpy()
        assert windows.names[windows.channel[number]] == channel
        np.testing.assert_array_equal(x[row], values[start : start + 24])
        np.testing.assert_array_equal(y[row], values[start + 24 : start + 30])


def test_gather_of_one_channel_and_no_window_keeps_its_shape() -> None:
    """Without it an empty batch or a series of one channel could change the number of axes."""
    window = WindowParams(seq_len=24, pred_len=6, features="S")
    windows = windows_of(make_scaled(["OT"]), make_index(window), "train", window)
    x, y = windows.gather(np.array([], dtype=np.int64))
    assert (x.shape, y.shape) == ((0, 24), (0, 6))
    assert windows.gather(np.array([3]))[1].tolist() == [[2000 + row for row in range(27, 33)]]


def test_ms_gathers_the_target_alone_for_the_test() -> None:
    """Without it the target's windows could be cut from the channel that happens to stand first."""
    window = WindowParams(seq_len=24, pred_len=6, features="MS", target="B")
    test = windows_of(make_scaled(CHANNELS), make_index(window), "test", window)
    x, y = test.gather(np.arange(len(test)))
    assert x[0].tolist() == [1000 + row for row in range(216, 240)]
    assert (y // 1000 == 1).all()


def test_windows_of_another_data_id_are_refused() -> None:
    """Without it the windows of one run would be cut from the values of another."""
    scaled, index = make_scaled(CHANNELS), make_index(WINDOW)
    index.attrs["data_id"] = "a" * 64
    with pytest.raises(ModelError, match=r"scaled_series id, window_index aaaaaaaaaaaa\n"):
        windows_of(scaled, index, "test", WINDOW)


@pytest.mark.parametrize("ids", [{"scaler": "a", "index": "b"}, {"scaler": None, "index": None}, {"scaler": None}])
def test_refuse_mixed_data_names_the_data_sets(ids: dict[str, str | None]) -> None:
    """Without it data sets without an id, or of two runs, would pass as one."""
    with pytest.raises(ModelError) as caught:
        refuse_mixed_data(**ids)
    assert all(f"{name} {value}" in caught.value.what for name, value in ids.items())
    assert "kedro run" in caught.value.do


def test_equal_data_ids_pass() -> None:
    """Without it the guard could refuse everything and the tests above would not notice."""
    refuse_mixed_data(scaled_series="a", scaler="a", window_index="a")
