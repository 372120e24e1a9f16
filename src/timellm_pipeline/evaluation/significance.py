"""Statistical significance of the difference between two models: a paired block bootstrap over origins.

Neighbouring test windows overlap, and the channels of one origin are correlated, so drawing single windows would make
intervals several times too narrow. Instead, blocks of neighbouring origins are drawn, with all channels. Each block is
at least one horizon long.

Source: Politis and Romano 1992 (circular block bootstrap).
"""

from typing import Any

import numpy as np
from jaxtyping import Float

DRAWS = 4_000
SEED = 0
FEWEST_BLOCKS = 5  # with fewer blocks, the bootstrap distribution is meaningless


def compare_origins(
    ours: Float[np.ndarray, "origins"], theirs: Float[np.ndarray, "origins"], block: int, level: float = 0.95
) -> dict[str, Any]:
    """Mean difference `ours - theirs` with its bootstrap interval.

    Args:
        ours, theirs: error of each origin, sorted by time.
        block: origins per block, at least one horizon.
        level: level of the interval.

    Returns:
        `difference`, `low`, `high`, `significant` (None with fewer than five blocks), `origins`, `block`.
    """
    differences = ours - theirs
    count = len(differences)
    block = min(block, count)
    blocks = -(-count // block)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([differences, differences[: block - 1]]))])
    block_means = (sums[block:] - sums[:-block]) / block  # mean of the block that starts at each origin
    drawn = np.random.default_rng(SEED).integers(0, count, (DRAWS, blocks))
    low, high = np.quantile(block_means[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    enough = count >= FEWEST_BLOCKS * block
    return {
        "difference": float(differences.mean()),
        "low": float(low),
        "high": float(high),
        "significant": bool(low > 0 or high < 0) if enough else None,
        "origins": count,
        "block": block,
    }
