"""The window index: every window once, inside its range, of the channels that `features` asks for."""

import itertools

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.parameters import EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES, Borders, split_borders
from timellm_pipeline.series.windows import build_window_index, used_channels

CHANNELS = ["A", "B", "OT"]
NUM_ROWS = 300
EVERY = EvaluationParams(validation_step=1, test_step=1)


def make_borders(window: WindowParams) -> Borders:
    """Borders of 300 rows: 210 to train, 30 to validate, 60 to test."""
    return split_borders(NUM_ROWS, SplitParams(), window)


def make_index(window: WindowParams, evaluation: EvaluationParams = EVERY) -> pd.DataFrame:
    """The index of those rows and three channels."""
    return build_window_index(used_channels(CHANNELS, window), make_borders(window), window, evaluation, "id")


def starts(index: pd.DataFrame, split: str, channel: str = "OT") -> list[int]:
    """Start rows of one channel's windows in one split."""
    return index.loc[(index["split"] == split) & (index["channel"] == channel), "start"].tolist()


WINDOW = WindowParams(seq_len=24, pred_len=6)


@pytest.mark.parametrize("steps", [(1, 1, 1), (3, 2, 5), (400, 400, 400)])
@pytest.mark.parametrize(("seq_len", "pred_len"), [(24, 6), (2, 1), (60, 30)])
def test_each_window_lies_inside_its_range_and_none_is_left_out(
    steps: tuple[int, int, int], seq_len: int, pred_len: int
) -> None:
    """Without it a window would forecast rows of the next range, or the last windows would never be seen."""
    window = WindowParams(seq_len=seq_len, pred_len=pred_len, window_step=steps[0], patch_len=2)
    index = make_index(window, EvaluationParams(validation_step=steps[1], test_step=steps[2]))
    for split, step in zip(RANGES, steps, strict=True):
        first, last = getattr(make_borders(window), split)
        brute = [row for row in range(first, last, step) if row + seq_len + pred_len <= last]
        assert len(brute) >= 1
        for channel in CHANNELS:
            assert starts(index, split, channel) == brute


def test_rows_forecast_in_one_split_are_forecast_in_no_other() -> None:
    """Without it the test could score rows that training had as its truth (look-backs may overlap, horizons not)."""
    index = make_index(WINDOW)
    truths = {split: {row + step for row in starts(index, split) for step in range(24, 30)} for split in RANGES}
    assert all(truths[one].isdisjoint(truths[other]) for one, other in itertools.combinations(RANGES, 2))
    assert set().union(*truths.values()) == set(range(24, NUM_ROWS))


def test_index_lists_each_window_once_in_order() -> None:
    """Without it some windows would weigh twice in training and in the test."""
    index = make_index(WINDOW)
    assert not index.duplicated().any()
    order = pd.DataFrame(
        {"split": index["split"].cat.codes, "channel": index["channel"].cat.codes, "n": index["start"]}
    )
    assert order.equals(order.sort_values(["split", "channel", "n"]))
    assert list(index["split"].cat.categories) == list(RANGES)
    assert list(index["channel"].cat.categories) == CHANNELS
    assert index.attrs == {"data_id": "id"}


def test_steps_of_training_validation_and_test_are_set_apart() -> None:
    """Without it thinning the training windows would thin the test, and no two tests could be compared."""
    window = WindowParams(seq_len=24, pred_len=6, window_step=7)
    index = make_index(window, EvaluationParams(validation_step=5, test_step=3))
    assert [np.unique(np.diff(starts(index, split))).tolist() for split in RANGES] == [[7], [5], [3]]


@pytest.mark.parametrize(("features", "train", "tested"), [("M", CHANNELS, CHANNELS), ("S", ["OT"], ["OT"])])
def test_features_choose_the_channels_of_training_and_test(features: str, train: list[str], tested: list[str]) -> None:
    """Without it `S` would train on every channel, as the published code's flag does."""
    index = make_index(WindowParams.model_validate({"seq_len": 24, "pred_len": 6, "features": features}))
    assert list(index.loc[index["split"] == "train", "channel"].unique()) == train
    for split in ("validation", "test"):
        assert list(index.loc[index["split"] == split, "channel"].unique()) == tested


def test_ms_trains_on_every_channel_and_tests_the_target_alone() -> None:
    """Without it `MS` would choose its model, and report its errors, on channels nobody asked about."""
    window = WindowParams(seq_len=24, pred_len=6, features="MS", target="B")
    index = make_index(window)
    assert list(index.loc[index["split"] == "train", "channel"].unique()) == CHANNELS
    assert set(index.loc[index["split"] != "train", "channel"]) == {"B"}
