"""Whether a difference between two models is more than noise: a paired block bootstrap over origins.

Neighbouring test windows overlap, and the channels of one origin see the same weather, so windows drawn one by one
would make a difference look several times surer than it is. Blocks of neighbouring origins are drawn instead, all
channels together, each block at least a horizon long.

Source: Politis and Romano 1992 (circular block bootstrap).
"""

from typing import Any

import numpy as np
from jaxtyping import Float

DRAWS = 4_000
SEED = 0
FEWEST_BLOCKS = 5  # with fewer, the bootstrap has next to nothing to draw from


def compare_origins(
    ours: Float[np.ndarray, "origins"], theirs: Float[np.ndarray, "origins"], block: int, level: float = 0.95
) -> dict[str, Any]:
    """The mean difference `ours - theirs` with its interval.

    Args:
        ours, theirs: an error of each origin, in the order of time.
        block: origins in a block; a horizon's worth.

    Returns:
        `difference`, `low`, `high`, `beyond_noise` (null with fewer than five blocks), `origins`, `block`.
    """
    differences = ours - theirs
    count = len(differences)
    block = min(block, count)
    blocks = -(-count // block)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([differences, differences[: block - 1]]))])
    of_block = (sums[block:] - sums[:-block]) / block  # mean of the block that begins at each origin
    drawn = np.random.default_rng(SEED).integers(0, count, (DRAWS, blocks))
    low, high = np.quantile(of_block[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    enough = count >= FEWEST_BLOCKS * block
    return {
        "difference": float(differences.mean()),
        "low": float(low),
        "high": float(high),
        "beyond_noise": bool(low > 0 or high < 0) if enough else None,
        "origins": count,
        "block": block,
    }
