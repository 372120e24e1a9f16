"""Rows between the starts of neighbouring windows, where a parameter leaves them open (`null`).

Neighbouring windows are nearly equal, so that a fraction of a long series tells almost as much as every window, in a
fraction of the time. The limits below bound the time of an epoch and of an evaluation: short series keep every window.
A derived step has no common divisor with the season, so that windows start in every phase of it: every 24th hour
would always be the same hour of the day.
"""

import math
from typing import NamedTuple

TRAIN_WINDOWS = 4_500  # about 140 steps of 32 windows an epoch
VALIDATION_WINDOWS = 1_000
TEST_WINDOWS = 2_000


class Limit(NamedTuple):
    """Number of windows that a step is derived from, and the largest step."""

    windows: int
    step: int


def limits_of(seq_len: int, pred_len: int) -> dict[str, Limit]:
    """Limit of each split.

    Steps of validation and test are at most a horizon, so that each of their rows is forecast. A step of training is
    at most a lookback, so that each row is an input.
    """
    return {
        "train": Limit(TRAIN_WINDOWS, seq_len),
        "validation": Limit(VALIDATION_WINDOWS, pred_len),
        "test": Limit(TEST_WINDOWS, pred_len),
    }


def derive_step(num_windows: int, limit: Limit, season: int) -> int:
    """The smallest step that keeps at most `limit.windows` windows, without a common divisor with the season.

    It is at most `limit.step`, which may leave more windows.

    Args:
        num_windows: windows with step 1.
        limit: limit of the split.
        season: season length in rows.
    """
    wanted = min(-(-num_windows // limit.windows), limit.step)
    above, below = range(wanted, limit.step + 1), range(wanted, 0, -1)
    return next(step for step in (*above, *below) if math.gcd(step, season) == 1)
