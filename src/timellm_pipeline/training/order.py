"""The order of training windows: a pure function of seed and step, so the position is one integer.

Epoch e is a permutation of all windows drawn from SeedSequence([seed, e]); step s of the run is batch s mod
steps-per-epoch of epoch s // steps-per-epoch. Resuming at any step requires no skipping, replaying or saved state.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int


def epoch_order(num_windows: int, seed: int, epoch: int) -> Int[np.ndarray, "windows"]:
    """Window numbers in the shuffled order of one epoch."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return generator.permutation(num_windows)


def batch_order(
    num_windows: int, batch_size: int, seed: int, first_step: int, last_step: int
) -> Iterator[Int[np.ndarray, "batch"]]:
    """Window numbers of the batches of steps first_step to last_step - 1, across epochs.

    An epoch drops the remainder that does not fill a batch; the dropped windows differ in each epoch.
    """
    steps = num_windows // batch_size
    epoch, order = -1, np.empty(0, dtype=np.int64)
    for step in range(first_step, last_step):
        if step // steps != epoch:
            epoch = step // steps
            order = epoch_order(num_windows, seed, epoch)
        position = step % steps * batch_size
        yield order[position : position + batch_size]
