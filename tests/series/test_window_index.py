"""The window index: every window once, inside its range, of the channels that `features` asks for, in few segments."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from conftest import make_panel
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES, Borders, split_borders
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.panel_file import read_index, write_index
from timellm_pipeline.series.windows import WindowIndex, Windows, build_window_index, used_channels, windows_between

CHANNELS = ["A", "B", "OT"]
NUM_ROWS = 300
EVERY = EvaluationParams(validation_step=1, test_step=1)
SPLIT = SplitParams()


def make_borders(window: WindowParams) -> Borders:
    """Borders of 300 rows: 210 to train, 30 to validate, 60 to test."""
    return split_borders(NUM_ROWS, SPLIT, window)


def make_series(channels: list[str], gaps: dict[str, list[tuple[int, int]]] | None = None) -> Panel:
    """300 rows of each channel, of which windows must not touch the gaps."""
    spans = [(channels.index(name), *span) for name, of_name in (gaps or {}).items() for span in of_name]
    filled = np.array(spans, dtype=np.int64).reshape(-1, 3)
    return make_panel({name: np.zeros(NUM_ROWS) for name in channels}, filled=filled, drop_filled=True)


def make_index(
    window: WindowParams, evaluation: EvaluationParams = EVERY, gaps: dict[str, list[tuple[int, int]]] | None = None
) -> WindowIndex:
    """The index of those rows and three channels."""
    panel = make_series(used_channels(CHANNELS, window), gaps)
    return build_window_index(panel, make_borders(window), SPLIT, window, evaluation, "id")


def listed(index: WindowIndex, split: str) -> list[tuple[str, int]]:
    """Channel and start row of every window of a split, in the order of their numbers."""
    segments = index.splits[split]
    series, start = segments.locate(np.arange(len(segments)))
    return [(index.ids[number], int(row)) for number, row in zip(series, start, strict=True)]


def starts(index: WindowIndex, split: str, channel: str = "OT") -> list[int]:
    """Start rows of one channel's windows in one split."""
    return [row for name, row in listed(index, split) if name == channel]


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
    """Without it the test could score rows that training had as its truth (lookbacks may overlap, horizons not)."""
    index = make_index(WINDOW)
    truths = {split: {row + step for row in starts(index, split) for step in range(24, 30)} for split in RANGES}
    assert all(truths[one].isdisjoint(truths[other]) for one, other in itertools.combinations(RANGES, 2))
    assert set().union(*truths.values()) == set(range(24, NUM_ROWS))


def test_windows_are_numbered_once_each_by_channel_and_time() -> None:
    """Without it some windows would weigh twice in training and in the test."""
    index = make_index(WINDOW)
    assert list(index.splits) == list(RANGES) and index.ids == tuple(CHANNELS)
    for split in RANGES:
        windows = [(CHANNELS.index(name), row) for name, row in listed(index, split)]
        assert windows == sorted(set(windows)) and len(windows) == index.counts()[split]
    assert index.facts.data_id == "id" and index.facts.split == SPLIT
    assert (index.facts.seq_len, index.facts.pred_len, index.facts.features) == (24, 6, "M")
    assert (index.facts.window_step, index.facts.validation_step, index.facts.test_step) == (1, 1, 1)


def test_steps_of_training_validation_and_test_are_set_apart() -> None:
    """Without it thinning the training windows would thin the test, and no two tests could be compared."""
    window = WindowParams(seq_len=24, pred_len=6, window_step=7)
    index = make_index(window, EvaluationParams(validation_step=5, test_step=3))
    assert [np.unique(np.diff(starts(index, split))).tolist() for split in RANGES] == [[7], [5], [3]]


@pytest.mark.parametrize(("features", "train", "tested"), [("M", CHANNELS, CHANNELS), ("S", ["OT"], ["OT"])])
def test_features_choose_the_channels_of_training_and_test(features: str, train: list[str], tested: list[str]) -> None:
    """Without it `S` would train on every channel, as the published code's flag does."""
    index = make_index(WindowParams.model_validate({"seq_len": 24, "pred_len": 6, "features": features}))
    assert list(dict.fromkeys(name for name, _ in listed(index, "train"))) == train
    for split in ("validation", "test"):
        assert list(dict.fromkeys(name for name, _ in listed(index, split))) == tested


def test_ms_trains_on_every_channel_and_tests_the_target_alone() -> None:
    """Without it `MS` would choose its model, and report its errors, on channels nobody asked about."""
    index = make_index(WindowParams(seq_len=24, pred_len=6, features="MS", target="B"))
    assert list(dict.fromkeys(name for name, _ in listed(index, "train"))) == CHANNELS
    assert {name for split in ("validation", "test") for name, _ in listed(index, split)} == {"B"}


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_gap_removes_the_windows_of_its_own_channel_alone(step: int) -> None:
    """Without it one missing cell of one channel would cost the windows of all (until now it did)."""
    gaps = {"A": [(100, 102), (103, 103), (150, 150)], "OT": [(0, 0), (205, 209)]}
    window = WindowParams(seq_len=24, pred_len=6, window_step=step)
    index, whole = make_index(window, gaps=gaps), make_index(window)
    for name in CHANNELS:
        spans = gaps.get(name, [])
        allowed = [
            row
            for row in starts(whole, "train", name)
            if not any(row <= last and row + 30 > first for first, last in spans)
        ]
        assert starts(index, "train", name) == allowed
    assert starts(index, "train", "B") == starts(whole, "train", "B")


def test_a_split_without_a_window_is_refused() -> None:
    """Without it validation could choose a model on nothing."""
    gaps = {name: [(190, 239)] for name in CHANNELS}
    with pytest.raises(
        SeriesError, match="every validation window of the channels `A`, `B`, `OT` contains a gap"
    ) as caught:
        make_index(WINDOW, gaps=gaps)
    assert "data.gaps" in caught.value.where


def test_a_channel_without_a_test_window_is_refused() -> None:
    """Without it the reported errors would not include a channel, and nothing would say so."""
    with pytest.raises(SeriesError, match="every test window of the channels `B` contains a gap"):
        make_index(WINDOW, gaps={"B": [(row, row) for row in range(240, 300, 20)]})
    with pytest.raises(SeriesError, match="every train window of the channels `A` contains a gap"):
        make_index(WINDOW, gaps={"A": [(0, 205)]})


def test_ten_million_windows_take_kilobytes(tmp_path: Path) -> None:
    """Without it an index of many long series would not fit into memory, though it says so little."""
    num_series, num_rows = 100, 150_000
    panel = Panel(
        ids=tuple(f"s{number}" for number in range(num_series)),
        values=np.broadcast_to(np.float32(0), (num_series * num_rows,)),
        offsets=np.arange(num_series + 1) * num_rows,
        first=np.zeros(num_series, dtype=np.int64),
        start=make_series(["A"]).start,
        frequency="h",
    )
    window = WindowParams(seq_len=24, pred_len=6, target="s0")
    index = build_window_index(panel, split_borders(num_rows, SPLIT, window), SPLIT, window, EVERY, "id")
    assert index.counts()["train"] > 10_000_000
    write_index(index, tmp_path / "index.parquet")
    assert (tmp_path / "index.parquet").stat().st_size < 20_000
    again = read_index(tmp_path / "index.parquet").splits["train"]
    which = np.random.default_rng(0).integers(0, len(again), 1_000)
    for one, other in zip(again.locate(which), index.splits["train"].locate(which), strict=True):
        np.testing.assert_array_equal(one, other)


def test_series_that_begin_and_end_at_other_times_keep_their_windows_inside_their_rows() -> None:
    """Without it a late series would be cut from the rows of its neighbour in the flat array."""
    panel = Panel(
        ids=("long", "late", "short"),
        values=np.concatenate([np.arange(300), 1000 + np.arange(60, 300), 2000 + np.arange(0, 100)]),
        offsets=np.array([0, 300, 540, 640]),
        first=np.array([0, 60, 0]),
        start=make_series(["A"]).start,
        frequency="h",
    )
    windows = windows_between(panel, (0, 181), 1, WINDOW)
    which = np.arange(len(windows))
    channel, x = windows.channel(which), np.concatenate(windows.gather(which), axis=1)
    assert (x // 1000 == channel[:, None]).all()  # never a row of another series
    assert (x % 1000 < 210).all() and np.bincount(channel).tolist() == [181, 121, 71]
    np.testing.assert_array_equal(windows.origin(which), x[:, 23] % 1000)  # values are rows of the grid
    assert windows.origins().tolist() == sorted(set(windows.origin(which).tolist()))


def test_windows_between_two_starts_are_the_step_apart() -> None:
    """Without it the linear part would see fewer windows than there are, or only the first ones."""
    panel = make_series(CHANNELS)
    assert len(windows_between(panel, (0, 181), 1, WINDOW)) == 3 * 181
    assert starts_of(windows_between(panel, (20, 61), 10, WINDOW), 0) == [20, 30, 40, 50, 60]
    assert starts_of(windows_between(panel, (20, 60), 10, WINDOW), 2) == [20, 30, 40, 50]


def starts_of(windows: Windows, number: int) -> list[int]:
    """Start rows of one series' windows."""
    segments = windows.segments
    return segments.locate(segments.numbers_of(number))[1].tolist()
