"""Rows between the starts of neighbouring windows, where a parameter leaves them open (`null`).

Neighbouring windows are nearly equal, so a fraction of them is enough, in a fraction of the time. The limits below
bound the number of windows of an epoch and of an evaluation: a series with fewer windows keeps all of them.

A derived step has no common divisor with a season, so that windows start in every phase of it: every 24th hour would
always be the same hour of the day. A step of validation or test nearly divides the horizon: significance is tested on
blocks of origins that share a horizon (evaluation/significance.py), and with a step of 23 in a horizon of 24, a block
of two origins would span 46 rows.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

TRAIN_WINDOWS = 2_500  # about 80 steps of 32 windows an epoch
VALIDATION_WINDOWS = 1_000
TEST_WINDOWS = 2_000
LONGEST_BLOCK = 1.25  # rows of a block of origins, in horizons


class Limit(NamedTuple):
    """What bounds the step of a split.

    Attributes:
        windows: number of windows that the step is derived from.
        step: largest step, which may leave more windows.
        horizon: rows of a horizon that the step nearly divides; 1 for any step.
    """

    windows: int
    step: int
    horizon: int = 1


def limits_of(seq_len: int, pred_len: int) -> dict[str, Limit]:
    """Limit of each split.

    Steps of validation and test are at most a horizon, so that each of their rows is forecast. A step of training is
    at most a lookback, so that each row is an input.
    """
    return {
        "train": Limit(TRAIN_WINDOWS, seq_len),
        "validation": Limit(VALIDATION_WINDOWS, pred_len, pred_len),
        "test": Limit(TEST_WINDOWS, pred_len, pred_len),
    }


def derive_step(num_windows: int, limit: Limit, seasons: Iterable[int]) -> int:
    """The smallest suitable step that keeps at most `limit.windows` windows, or the largest suitable one.

    Args:
        num_windows: windows with step 1.
        limit: limit of the split.
        seasons: season lengths in rows.
    """
    wanted = min(max(-(-num_windows // limit.windows), 1), limit.step)
    period = math.lcm(*seasons)

    def is_suitable(step: int) -> bool:
        block = -(-limit.horizon // step) * step if limit.horizon > 1 else 1
        return math.gcd(step, period) == 1 and block <= LONGEST_BLOCK * limit.horizon

    above, below = range(wanted, limit.step + 1), range(wanted - 1, 0, -1)
    return next(filter(is_suitable, (*above, *below)), 1)
