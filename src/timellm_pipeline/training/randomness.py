"""Random numbers of a training: each step has a seed of its own, so that no generator state is saved or restored."""

import random

import numpy as np
import torch

from timellm_pipeline.series.identity import digest_of


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch, for the initial weights."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_step(seed: int, step: int) -> None:
    """Seed PyTorch for the dropout of one step.

    The masks depend on seed and step alone: not on earlier steps, nor on the process that computes the step.
    """
    torch.manual_seed(int(digest_of(["dropout", seed, step])[:15], 16))
