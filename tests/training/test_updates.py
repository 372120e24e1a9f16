"""Steps are grouped into updates without losing one, across epochs and the run's end."""

import pytest

from timellm_pipeline.training.updates import Updates


@pytest.mark.parametrize("accumulate", [1, 2, 3, 5, 11, 20])
def test_every_step_is_in_one_update_and_epochs_do_not_share_one(accumulate: int) -> None:
    """A group that reached into the next epoch would shift every update after it."""
    updates = Updates(steps_per_epoch=11, accumulate=accumulate, max_steps=29)
    step, made = 0, 0
    while step < 29:
        group = updates.after(step)
        assert group.first == step < group.last <= 29
        assert group.first // 11 == (group.last - 1) // 11, "one epoch"
        step, made = group.last, made + 1
        assert updates.made_after(step) == made
        assert updates.ending_at(step) == group


def test_a_group_reaches_a_multiple_once() -> None:
    """A checkpoint due inside an accumulation is written at its last step."""
    updates = Updates(steps_per_epoch=100, accumulate=3, max_steps=12)
    assert [updates.after(step).reaches(4) for step in (0, 3, 6, 9)] == [False, True, True, True]
