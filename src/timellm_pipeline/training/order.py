"""The order of training windows: a pure function of seed, epoch and position, computed for each batch.

Epoch e is a permutation of the window numbers that a key from (seed, e) selects. Step s of the run is batch
s mod steps-per-epoch of epoch s // steps-per-epoch. Resuming at any step requires no skipping, replaying or saved
state, and 10^9 windows need no array.

The permutation is a Feistel network over the smallest even number of bits that holds all positions. A number outside
the range is permuted again until it is inside (cycle walking), so the result is a permutation for every number of
windows. Only integer arithmetic modulo 2^64 is used, so it is equal on every platform.

Sources: Luby and Rackoff 1988 (Feistel networks); Black and Rogaway 2002 (cycle walking); the mixing function is
splitmix64 (Steele, Lea and Flood 2014).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

ROUNDS = 8
FEWEST_BITS = 8  # in a smaller domain, few permutations can be reached
GOLDEN, MIX_1, MIX_2 = (np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def permuted(positions: Int[np.ndarray, "positions"], num_windows: int, key: int) -> Int[np.ndarray, "positions"]:
    """Window numbers at the given positions of the permutation of `num_windows` numbers that `key` selects."""
    half = np.uint64(max((num_windows - 1).bit_length(), FEWEST_BITS) + 1 >> 1)
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = _mixed(np.arange(1, ROUNDS + 1, dtype=np.uint64) * GOLDEN + np.uint64(key))
    numbers = positions.astype(np.uint64)
    outside = np.ones(len(numbers), dtype=bool)
    while outside.any():
        left, right = numbers[outside] >> half, numbers[outside] & mask
        for round_key in keys:
            left, right = right, left ^ (_mixed(right ^ round_key) & mask)
        numbers[outside] = left << half | right
        outside = numbers >= np.uint64(num_windows)
    return numbers.astype(np.int64)


def epoch_key(seed: int, epoch: int) -> int:
    """Key of the permutation of one epoch."""
    seeds, epochs = (np.array([number % 2**64], dtype=np.uint64) for number in (seed, epoch))
    return int(_mixed(_mixed(seeds) + epochs * GOLDEN)[0])


def batch_order(
    num_windows: int, batch_size: int, seed: int, first_step: int, last_step: int
) -> Iterator[Int[np.ndarray, "batch"]]:
    """Window numbers of the batches of steps first_step to last_step - 1, across epochs.

    An epoch drops the remainder that does not fill a batch; the dropped windows differ in each epoch.
    """
    steps = num_windows // batch_size
    for step in range(first_step, last_step):
        epoch, batch = divmod(step, steps)
        positions = np.arange(batch * batch_size, (batch + 1) * batch_size)
        yield permuted(positions, num_windows, epoch_key(seed, epoch))


def _mixed(values: np.ndarray) -> np.ndarray:
    """Each 64-bit number, mixed so that similar inputs give unrelated outputs."""
    values = (values ^ (values >> np.uint64(30))) * MIX_1
    values = (values ^ (values >> np.uint64(27))) * MIX_2
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed
