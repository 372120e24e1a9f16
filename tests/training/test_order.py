"""The order of windows and the learning rate are functions of the step alone."""

import numpy as np
import pytest

from timellm_pipeline.parameters import TrainingParams
from timellm_pipeline.training.order import batch_order, epoch_order
from timellm_pipeline.training.schedule import Schedule


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
    assert not np.array_equal(epoch_order(103, 7, 0), epoch_order(103, 8, 0))


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
