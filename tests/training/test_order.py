"""The order of windows and the learning rate are functions of the step alone."""

import itertools
from collections import Counter

import numpy as np
import pytest

from timellm_pipeline.parameters import TrainingParams
from timellm_pipeline.training.order import batch_order, epoch_key, permuted
from timellm_pipeline.training.schedule import Schedule


def permutation(num_windows: int, key: int) -> np.ndarray:
    return permuted(np.arange(num_windows), num_windows, key)


def chi_square(observed: np.ndarray) -> float:
    """Chi-square statistic of counts that should be equal, as a z-score of its distribution."""
    expected = observed.sum() / observed.size
    degrees = observed.size - 1
    return float((((observed - expected) ** 2 / expected).sum() - degrees) / np.sqrt(2 * degrees))


def test_the_order_from_any_step_is_the_rest_of_the_complete_order() -> None:
    """A resumed run that shuffles anew sees some windows twice and others never."""
    complete = list(batch_order(103, 8, seed=7, first_step=0, last_step=40))
    for first in (0, 1, 11, 12, 13, 25, 39):
        rest = list(batch_order(103, 8, seed=7, first_step=first, last_step=40))
        assert all(np.array_equal(one, other) for one, other in zip(rest, complete[first:], strict=True))


def test_an_epoch_takes_every_window_once_less_the_remainder_and_epochs_differ() -> None:
    """A window that is never drawn is lost data; the same order in each epoch is no shuffling."""
    batches = list(batch_order(103, 8, seed=7, first_step=0, last_step=24))
    first, second = np.concatenate(batches[:12]), np.concatenate(batches[12:])
    assert len(np.unique(first)) == len(first) == 96
    assert not np.array_equal(first, second)
    assert set(range(103)) - set(first.tolist()) != set(range(103)) - set(second.tolist())
    np.testing.assert_array_equal(first, permutation(103, epoch_key(7, 0))[:96])
    np.testing.assert_array_equal(second, permutation(103, epoch_key(7, 1))[:96])


@pytest.mark.parametrize("key", [0, 1, 2**63, 2**64 - 1])
def test_every_number_of_windows_has_a_permutation(key: int) -> None:
    """A number that occurs twice, or is outside, is a window trained twice or one that does not exist."""
    for num_windows in range(1, 301):
        found = permutation(num_windows, key)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(np.sort(found), np.arange(num_windows))


@pytest.mark.parametrize("num_windows", [2**16 - 1, 2**16, 2**16 + 1, 100_003, 2**17 + 1])
def test_a_large_number_of_windows_has_a_permutation(num_windows: int) -> None:
    """Where the bits of a number change, the two halves could stop to fit."""
    np.testing.assert_array_equal(np.sort(permutation(num_windows, 9)), np.arange(num_windows))


@pytest.mark.parametrize("num_windows", [10**9, 10**9 + 7, 2**32, 2**40 + 1, 10**15])
def test_a_billion_windows_need_no_array_and_no_skipped_steps(num_windows: int) -> None:
    """An index of every window would take gigabytes, and a resume minutes."""
    steps = num_windows // 4096
    *_, last = batch_order(num_windows, 4096, seed=7, first_step=steps - 1, last_step=steps)
    drawn = np.concatenate(
        [last, *batch_order(num_windows, 4096, seed=7, first_step=steps // 2, last_step=steps // 2 + 4)]
    )
    assert len(np.unique(drawn)) == 5 * 4096
    assert drawn.min() >= 0 and drawn.max() < num_windows
    assert drawn.max() > 0.99 * num_windows and drawn.min() < 0.01 * num_windows


def test_one_key_gives_the_same_order_on_every_platform() -> None:
    """A run that resumes on another computer would train on other windows; so would a changed formula."""
    assert permutation(10, 0).tolist() == [0, 6, 2, 1, 8, 3, 9, 5, 4, 7]
    assert permutation(10, 2**64 - 1).tolist() == [0, 7, 4, 8, 3, 6, 9, 1, 5, 2]
    assert permuted(np.array([0, 1, 999_999_999]), 10**9, 12345).tolist() == [192361322, 881222240, 844276146]
    assert [epoch_key(2021, 0), epoch_key(2021, 1), epoch_key(0, 0)] == [16899327107938689072, 13922668287943427885, 0]
    (batch,) = batch_order(56_231, 8, seed=2021, first_step=30_000, last_step=30_001)
    assert batch.tolist() == [29390, 69, 56061, 54747, 44653, 28138, 31817, 28547]


def test_seeds_and_epochs_give_unrelated_orders() -> None:
    """Seed 1 in epoch 0 and seed 0 in epoch 1 must not be the same order: runs of several seeds would be alike."""
    keys = {epoch_key(seed, epoch) for seed in (0, 1, 2, 2021, 2**32, 2**63, 2**64 - 1) for epoch in range(300)}
    assert len(keys) == 7 * 300
    assert all(0 <= key < 2**64 for key in keys)
    orders = [permutation(1_000, epoch_key(seed, epoch)) for seed in range(4) for epoch in range(4)]
    for one, other in itertools.combinations(orders, 2):
        assert np.count_nonzero(one == other) < 12  # 1 expected
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.15


@pytest.mark.parametrize(("num_windows", "epochs"), [(5, 200), (7, 200), (50, 600)])
def test_every_window_is_equally_likely_at_every_position(num_windows: int, epochs: int) -> None:
    """Windows that come early in most epochs, or are dropped more often, would weigh more or less than others."""
    counts = np.zeros((num_windows, num_windows))
    for epoch in range(epochs):
        counts[np.arange(num_windows), permutation(num_windows, epoch_key(3, epoch))] += 1
    assert (counts.sum(axis=0) == epochs).all()
    assert abs(chi_square(counts)) < 4


def test_every_order_of_four_windows_is_equally_likely() -> None:
    """Windows that always follow each other would be in the same batch in every epoch."""
    found = Counter(tuple(permutation(4, epoch_key(5, epoch)).tolist()) for epoch in range(360))
    assert len(found) == 24
    assert abs(chi_square(np.array(list(found.values())))) < 4
    pairs = Counter((order[0], order[1]) for order in found.elements())
    assert len(pairs) == 12 and abs(chi_square(np.array(list(pairs.values())))) < 4


def test_neighbouring_windows_are_not_neighbours_in_the_order() -> None:
    """Windows one row apart are nearly equal: a batch of them would be one window."""
    order = permutation(50_000, epoch_key(1, 0))
    distance = np.abs(np.diff(order))
    assert distance.mean() == pytest.approx(50_000 / 3, rel=0.02)  # of two random numbers
    assert np.count_nonzero(distance == 1) < 12  # 2 expected
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("kind", ["cosine", "constant", "halving"])
def test_learning_rates_are_positive_and_peak_at_the_stated_rate(kind: str) -> None:
    """The published code trains at a 25th of the rate it states."""
    schedule = Schedule(TrainingParams(schedule=kind, learning_rate=0.01), num_updates=200, updates_per_epoch=50)
    rates = [schedule.rate(update) for update in range(200)]
    assert max(rates) == pytest.approx(0.01) and min(rates) > 0


def test_halving_halves_from_the_third_epoch_on() -> None:
    """4e-4, 4e-4, 2e-4, 1e-4 is what the published code's default schedule comes to."""
    schedule = Schedule(TrainingParams(schedule="halving", learning_rate=4e-4), num_updates=200, updates_per_epoch=50)
    assert [schedule.rate(epoch * 50 + 3) for epoch in range(4)] == pytest.approx([4e-4, 4e-4, 2e-4, 1e-4])
