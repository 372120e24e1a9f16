"""Random numbers of a step depend on seed and step, not on what was computed before."""

import random

import numpy as np
import torch
from torch import Tensor, nn

from timellm_pipeline.training.randomness import seed_everything, seed_step

DROPOUT = nn.Dropout(0.5)


def mask(seed: int, step: int) -> Tensor:
    """Dropout mask of one step."""
    seed_step(seed, step)
    return DROPOUT(torch.ones(1_000)) > 0


def test_a_mask_depends_on_seed_and_step_alone() -> None:
    """A resumed run, which computed no earlier step, would train with other masks than an uninterrupted one."""
    first = mask(7, 30)
    torch.manual_seed(0)
    torch.rand(123)
    mask(7, 29)
    assert torch.equal(mask(7, 30), first)


def test_steps_and_seeds_have_unrelated_masks() -> None:
    """With one mask for every step, half of the network would never be trained; alike seeds are one seed."""
    pairs = [(seed, step) for seed in (0, 1, 2021, 2**32 + 1) for step in (0, 1, 2, 10, 100_000)]
    masks = [mask(seed, step) for seed, step in pairs]
    for number, one in enumerate(masks):
        assert 0.4 < one.float().mean() < 0.6
        for other in masks[:number]:
            assert 0.4 < (one == other).float().mean() < 0.6
    assert not torch.equal(mask(1, 12), mask(11, 2)), "seed and step must not be joined as text"


def test_the_seed_of_a_step_is_the_same_on_every_platform() -> None:
    """Another seed on another computer, or in another version, would end an exact resume."""
    seed_step(2021, 100)
    assert torch.initial_seed() == 289938594403952066
    seed_step(0, 0)
    assert 0 <= torch.initial_seed() < 2**60


def test_initial_weights_depend_on_the_seed_alone() -> None:
    """Two runs with one seed would start from other weights."""

    def drawn() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]

    seed_everything(5)
    first = drawn()
    seed_everything(5 + 2**32)  # NumPy takes 32 bits
    assert drawn()[1] == first[1]
    seed_everything(5)
    assert drawn() == first
    seed_everything(6)
    assert not set(drawn()) & set(first)
