"""The one paired test of the difference between two models' errors over forecast origins.

The report, the gates of a retraining and the acceptance of a correction use it, so that a difference is called real by
the same rule everywhere.

Errors of neighbouring origins are correlated: their horizons overlap, and good and bad times last. The standard error
of the mean difference therefore comes from the slowest movements of the series of differences: its projections on the
first cosines, equally weighted (EWC). With B cosines the statistic has a Student t distribution with B degrees of
freedom, which holds in small samples too; a normal distribution or a bootstrap over a few blocks gives intervals that
are too narrow.

There is one cosine for every eight blocks of origins that share a horizon: cosines that are slow in comparison with a
block still see correlations that last two blocks. A test with fewer than two cosines is not made: the answer is "too
few origins". `python benchmarks/significance.py` shows how often the test is wrong, how much it detects, and what other
tests do; both numbers were chosen by it. Correlations that last much longer than two blocks are not covered.

Sources: Diebold and Mariano 1995 (the test of the mean loss difference); Mueller 2007 and Lazarus, Lewis, Stock and
Watson 2018 (equal-weighted cosines with Student t quantiles).
"""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

BLOCKS_PER_COSINE = 8
FEWEST_COSINES = 2
MOST_COSINES = 40  # more would hardly narrow the interval
MIN_BLOCKS = FEWEST_COSINES * BLOCKS_PER_COSINE
ROUNDING = 1e-12  # relative differences of errors up to this are rounding, not a difference

Verdict = Literal["better", "worse", "not significant", "too few origins"]


class Comparison(BaseModel):
    """Result of the test.

    Attributes:
        difference: mean of `ours - theirs`; negative if ours is better.
        low, high: interval of the difference; None with too few origins.
        verdict: `better` or `worse` (ours) if the interval excludes 0.
        origins: origins compared.
        block: origins per block, as given.
        needed_origins: origins that the test needs with this block.
    """

    model_config = ConfigDict(frozen=True)

    difference: float
    low: float | None
    high: float | None
    verdict: Verdict
    origins: int
    block: int
    needed_origins: int

    @property
    def significant(self) -> bool | None:
        """Whether the interval excludes 0; None with too few origins."""
        return None if self.verdict == "too few origins" else self.verdict in ("better", "worse")

    @property
    def better(self) -> bool:
        """Whether ours is significantly better."""
        return self.verdict == "better"

    def summary(self) -> str:
        """The difference with its interval and verdict, in one line of text."""
        if self.low is None or self.high is None:
            return f"{self.difference:+.4f}, {self.shortage()}"
        return f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f}), {self.verdict}"

    def shortage(self) -> str:
        """How many origins there are and how many the test needs."""
        return f"too few origins: {self.origins:,}, needs at least {self.needed_origins:,}"


def compare_origins(
    ours: Float[np.ndarray, "origins"], theirs: Float[np.ndarray, "origins"], block: int, level: float = 0.95
) -> Comparison:
    """Mean difference `ours - theirs` with its interval and the verdict.

    Args:
        ours, theirs: error of each origin, the mean over channels and horizon, sorted by time.
        block: origins per horizon, rounded up.
        level: level of the interval.

    Raises ValueError without origins, for errors that are not finite, and for a block below 1.
    """
    if block < 1 or len(ours) == 0 or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise ValueError("the comparison needs at least one origin, finite errors and a block of at least 1")
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    differences = ours - theirs
    differences[np.abs(differences) <= ROUNDING * (np.abs(ours) + np.abs(theirs))] = 0.0
    count, needed, difference = len(differences), needed_origins(block), float(differences.mean())
    low: float | None = None
    high: float | None = None
    verdict: Verdict = "too few origins"
    if count >= needed:
        cosines = num_cosines(count, block)
        margin = t_quantile((1 + level) / 2, cosines) * float(standard_error(differences, cosines))
        low, high = difference - margin, difference + margin
        verdict = "better" if high < 0 else "worse" if low > 0 else "not significant"
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        verdict=verdict,
        origins=count,
        block=block,
        needed_origins=needed,
    )


def needed_origins(block: int) -> int:
    """Origins that the test needs.

    Args:
        block: origins per horizon, rounded up.
    """
    return MIN_BLOCKS * block


def num_cosines(origins: int, block: int) -> int:
    """Cosines that the standard error is computed from: one for every eight blocks, within limits."""
    return min(max(origins // (BLOCKS_PER_COSINE * block), FEWEST_COSINES), MOST_COSINES)


def standard_error(
    differences: Float[np.ndarray, "origins *series"], cosines: int
) -> Float[np.ndarray, "*series"] | np.float64:
    """Standard error of the mean of each series, from its projections on the first cosines.

    Args:
        differences: one or more series, along the first axis.
        cosines: number of cosines; also the degrees of freedom of the mean divided by its standard error.
    """
    count = len(differences)
    phase = np.pi * (np.arange(count) + 0.5) / count
    centred = differences - differences.mean(axis=0)  # cosines ignore the mean; this keeps rounding errors small
    projections = [np.cos(number * phase).astype(differences.dtype) @ centred for number in range(1, cosines + 1)]
    variance = 2 / count * np.mean(np.square(projections), axis=0)  # long-run variance of a difference
    result: np.ndarray | np.float64 = np.sqrt(variance / count)
    return result


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution for a probability above one half, by bisection of its distribution."""
    low, high = 0.0, math.pi / 2  # of the angle arctan(t / sqrt(degrees))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_central(middle, degrees) < 2 * probability - 1 else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _t_central(angle: float, degrees: int) -> float:
    """Probability of |t| below sqrt(degrees) * tan(angle) (Abramowitz and Stegun 1972, 26.7.3 and 26.7.4)."""
    cosine, odd = math.cos(angle), degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for number in range(1, degrees // 2 + 1):
        total += term
        term *= cosine**2 * ((2 * number) / (2 * number + 1) if odd else (2 * number - 1) / (2 * number))
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total
