"""A fold is fitted on no window of its block and of the gap around it, and blocks cover every window once."""

import numpy as np
import pytest
from small_tasks import task_of, values_of, window_of, with_rows

from timellm_pipeline.linear.candidates import Candidate
from timellm_pipeline.linear.fitter import Fitter, Task
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.series.windows import windows_between

WINDOW = window_of(12, 4)
LENGTH = 16
CANDIDATES = [
    Candidate(kind="plain", penalty=0.1),
    Candidate(kind="structured", center="naive", seasons=(6,), penalty=0.1),
    Candidate(kind="per_series", seasons=(6,), penalty=0.1, deviation_penalty=30.0),
]


def maps_of(task: Task, candidate: Candidate, fold: int | None) -> np.ndarray:
    """Maps without one fold."""
    return Fitter(task, Folds.of(task.rows, WINDOW), per_series=True).maps(candidate, fold).numpy()


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.kind)
@pytest.mark.parametrize("fold", range(4))
def test_a_fold_reads_no_window_of_its_block_and_gap_and_every_other(fold: int, candidate: Candidate) -> None:
    """Without it residuals of windows that the map was fitted on would be too small, and a correction learn nothing."""
    first, train = 5, 5 + 120 + LENGTH - 1  # four blocks of 30 starts
    task = task_of(values_of("mixed", 2, train + 20, np.random.default_rng(0)), WINDOW, train, first=first)
    begin, end = first + 30 * fold, first + 30 * (fold + 1)
    assert Folds.of(task.rows, WINDOW).bounds[fold : fold + 2] == (begin, end)
    # Rows that only windows starting in [begin - 4, end + 4) contain. A window contains 16 rows from its start.
    low = begin - 4 + LENGTH - 1 if fold > 0 else first
    high = end + 4 - 1 if fold < 3 else train - 1
    before = maps_of(task, candidate, fold)
    inside = Task(with_rows(task.scaled, np.arange(low, high + 1)), task.rows, WINDOW, task.validation, task.season)
    np.testing.assert_array_equal(maps_of(inside, candidate, fold), before)
    assert np.abs(maps_of(inside, candidate, None) - maps_of(task, candidate, None)).max() > 0.01
    for row, exists in ((low - 1, fold > 0), (high + 1, fold < 3)):
        if exists:  # a row of the nearest window outside the gap
            outside = Task(with_rows(task.scaled, np.array([row])), task.rows, WINDOW, task.validation, task.season)
            assert np.abs(maps_of(outside, candidate, fold) - before).max() > 1e-6


@pytest.mark.parametrize("rows", [(0, 155), (7, 300), (0, 40), (3, 60)])
def test_blocks_are_equal_and_cover_every_window_once(rows: tuple[int, int]) -> None:
    """Without it some windows would be in no block, and their errors in no criterion."""
    folds = Folds.of(rows, WINDOW)
    count = rows[1] - rows[0] - LENGTH + 1
    starts = rows[0] + np.arange(count)
    held = np.array([[folds.holds(fold, start) for fold in range(4)] for start in starts])
    assert (held.sum(axis=1) == 1).all()
    assert np.ptp(held.sum(axis=0)) <= 1
    np.testing.assert_array_equal(folds.of_start(starts), held.argmax(axis=1))
    excluded = np.array([[folds.excludes(fold, start) for fold in range(4)] for start in starts])
    for fold in range(4):
        near = np.convolve(held[:, fold], np.ones(9), mode="same") > 0  # 4 starts on each side
        np.testing.assert_array_equal(excluded[:, fold], near)


def test_windows_outside_the_blocks_belong_to_the_nearest() -> None:
    """Without it a training window outside the row range would have no cross-fitted forecast."""
    folds = Folds.of((10, 200), WINDOW)
    assert folds.of_start(np.array([0, 9, 10, 184, 185, 900])).tolist() == [0, 0, 0, 3, 3, 3]


@pytest.mark.parametrize(("count", "pred_len", "folds"), [(20, 4, 4), (19, 4, 0), (8, 1, 4), (7, 1, 0), (1, 1, 0)])
def test_fewer_windows_than_five_horizons_have_no_folds(count: int, pred_len: int, folds: int) -> None:
    """Without it a block and its gaps would leave no window to fit."""
    window = window_of(12, pred_len)
    found = Folds.of((2, 2 + 12 + pred_len - 1 + count), window)
    assert len(found) == folds
    assert found.bounds[0] == 2 and found.bounds[-1] == 2 + count
    assert len(Folds.of((2, 200), window, most=1)) == 0
    if not folds:
        assert found.of_start(np.arange(2, 2 + count)).tolist() == [0] * count


@pytest.mark.parametrize("rows", [(0, 155), (3, 60), (0, 16), (0, 15), (0, 3)])
def test_pieces_are_whole_and_each_is_inside_or_outside_of_every_block_and_gap(rows: tuple[int, int]) -> None:
    """Without it the sums of a fold would contain windows of its gap, or windows would be read twice."""
    folds = Folds.of(rows, WINDOW)
    pieces = folds.pieces()
    starts = np.concatenate([np.zeros(0, dtype=int), *(np.arange(*piece) for piece in pieces)])
    assert starts.tolist() == list(range(rows[0], rows[1] - LENGTH + 1))
    for first, last in pieces:
        for fold in range(len(folds)):
            assert len({(folds.holds(fold, start), folds.excludes(fold, start)) for start in range(first, last)}) == 1


def test_windows_between_start_in_the_range_and_nowhere_else() -> None:
    """Without it the last window of a block would be dropped, or counted in two blocks."""
    panel = task_of(values_of("noise", 2, 80, np.random.default_rng(0)), WINDOW, train=60).scaled
    for step, starts in ((1, range(10, 20)), (3, range(10, 20, 3)), (50, [10])):
        found = windows_between(panel, (10, 20), step, WINDOW)
        origins = found.origin(np.arange(len(found))) - 12 + 1
        assert origins.tolist() == 2 * list(starts)
