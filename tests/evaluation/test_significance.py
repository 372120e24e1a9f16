"""A difference is called real when it is, and almost only then."""

import json
import math
from typing import Any

import numpy as np
import pytest

from timellm_pipeline.evaluation.significance import (
    MIN_BLOCKS,
    Comparison,
    compare_origins,
    needed_origins,
    num_cosines,
    t_quantile,
)


def overlapping(rng: np.random.Generator, origins: int, block: int) -> np.ndarray:
    """Differences of mean 0 and variance 1 whose horizons of `block` origins overlap."""
    return np.convolve(rng.normal(size=origins + block - 1), np.ones(block) / math.sqrt(block), mode="valid")


def verdicts(blocks: int, block: int, shift: float, runs: int = 400) -> dict[str, float]:
    """Share of each verdict in a simulation with a fixed seed."""
    rng = np.random.default_rng(3)
    zeros = np.zeros(blocks * block)
    found = [compare_origins(overlapping(rng, len(zeros), block) + shift, zeros, block).verdict for _ in range(runs)]
    return {verdict: found.count(verdict) / runs for verdict in ("better", "worse", "not significant")}


def compare(ours: np.ndarray, block: int = 4, **options: Any) -> Comparison:
    """`compare_origins` with a model whose errors are 0."""
    return compare_origins(ours, np.zeros(len(ours)), block, **options)


@pytest.mark.parametrize(("blocks", "block"), [(16, 1), (16, 12), (30, 12), (60, 1), (60, 12)])
def test_equal_models_are_called_better_at_most_as_often_as_promised(blocks: int, block: int) -> None:
    """A gate that takes chance for an improvement promotes anything in time."""
    found = verdicts(blocks, block, shift=0.0)
    assert found["better"] <= 0.05 and found["worse"] <= 0.05
    assert found["better"] + found["worse"] >= 0.01, "a test that never decides is of no use"


def test_slow_regimes_do_not_pass_for_an_improvement() -> None:
    """Good and bad times outlast a horizon; blocks of one horizon, taken as independent, are wrong in one of five."""
    rng, better, runs = np.random.default_rng(4), 0, 400
    memory = math.exp(-1 / 2)
    for _ in range(runs):
        regime = rng.normal(size=60)
        for origin in range(1, 60):
            regime[origin] = memory * regime[origin - 1] + math.sqrt(1 - memory**2) * regime[origin]
        better += compare(regime, block=1).better
    assert better / runs <= 0.06


def test_a_real_improvement_is_found() -> None:
    """A test that is only careful would refuse every candidate."""
    assert verdicts(30, 12, shift=-1.0)["better"] > 0.9
    assert verdicts(30, 12, shift=1.0)["worse"] > 0.9
    assert verdicts(120, 12, shift=-0.3)["better"] > verdicts(30, 12, shift=-0.3)["better"]


def test_too_few_origins_are_an_answer() -> None:
    """With one horizon or five, no verdict can be trusted, however clear the numbers look."""
    for count in (1, 5, 4 * MIN_BLOCKS - 1):
        found = compare(np.linspace(-1.1, -0.9, count) if count > 1 else np.array([-1.0]))
        assert found.verdict == "too few origins" and found.significant is None and not found.better
        assert (found.low, found.high) == (None, None) and found.difference == pytest.approx(-1)
        assert (found.origins, found.needed_origins) == (count, needed_origins(4))
        assert f"too few origins: {count}, needs at least {4 * MIN_BLOCKS}" in found.summary()
    found = compare(np.linspace(-1.1, -0.9, needed_origins(4)))
    assert found.significant is not None and found.low is not None and found.high is not None
    assert needed_origins(96) == 96 * needed_origins(1)


def test_swapped_models_get_the_opposite_answer() -> None:
    """Whose errors come first must not matter."""
    rng = np.random.default_rng(0)
    ours, theirs = 1 + rng.random(200), 1.3 + rng.random(200)
    one, other = compare_origins(ours, theirs, 4), compare_origins(theirs, ours, 4)
    assert one.low is not None and one.high is not None
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low))
    assert (one.verdict, other.verdict) == ("better", "worse")
    assert one.better and not other.better and one.significant and other.significant


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_units_of_the_errors_do_not_matter(scale: float) -> None:
    """The verdict must be the same in watts and in gigawatts."""
    errors = np.random.default_rng(1).random(200) - 0.4
    plain, scaled = compare(errors), compare(scale * errors)
    assert scaled.low == pytest.approx(scale * plain.low) and scaled.high == pytest.approx(scale * plain.high)
    assert scaled.verdict == plain.verdict


def test_the_order_of_time_matters() -> None:
    """The same differences, once as long good and bad times and once mixed: the first say much less."""
    slow = np.repeat(np.random.default_rng(2).normal(size=40), 50)
    mixed = np.random.default_rng(0).permutation(slow)
    widths = [found.high - found.low for found in (compare(slow, 20), compare(mixed, 20)) if found.high and found.low]
    assert len(widths) == 2 and widths[0] > 3 * widths[1]


def test_a_higher_level_gives_a_wider_interval_around_the_same_difference() -> None:
    """The level must be the level of the interval."""
    errors = np.random.default_rng(1).normal(size=200)
    narrow, wide = compare(errors, level=0.8), compare(errors, level=0.99)
    assert narrow.low is not None and narrow.high is not None and wide.low is not None and wide.high is not None
    assert wide.low < narrow.low < narrow.difference == wide.difference < narrow.high < wide.high


def test_equal_errors_are_no_difference_and_a_constant_one_is() -> None:
    """Without variance there is no NaN, and rounding is no improvement."""
    errors = np.random.default_rng(1).random(200)
    same = compare_origins(errors, errors.copy(), 4)
    assert (same.difference, same.low, same.high, same.verdict) == (0.0, 0.0, 0.0, "not significant")
    assert compare_origins(errors * (1 - 1e-15), errors, 4).verdict == "not significant"
    assert compare_origins(errors - 0.1, errors, 4).verdict == "better"
    assert compare_origins(np.zeros(200), np.ones(200), 4).verdict == "better"


def test_the_answer_is_deterministic_and_json() -> None:
    """Reports of the same run must be equal byte for byte, and have no NaN."""
    errors = np.random.default_rng(1).normal(size=200).astype(np.float32)
    for size in (3, 200):
        found = compare(errors[:size])
        assert found == compare(errors[:size])
        assert Comparison.model_validate(json.loads(json.dumps(found.model_dump(), allow_nan=False))) == found


@pytest.mark.parametrize("errors", [np.array([]), np.array([1.0, np.nan]), np.array([np.inf])])
def test_errors_that_are_no_numbers_are_refused(errors: np.ndarray) -> None:
    """A verdict on NaN would be a verdict on nothing."""
    with pytest.raises(ValueError, match="finite errors"):
        compare(errors)


def test_cosines_grow_with_the_blocks_within_limits() -> None:
    """More cosines narrow the interval, but see fewer of the slow regimes."""
    found = [num_cosines(blocks * 12, 12) for blocks in (16, 24, 30, 80, 5000)]
    assert found == [2, 3, 3, 10, 40]


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        (0.975, 1, 12.7062047),
        (0.975, 2, 4.3026527),
        (0.975, 3, 3.1824463),
        (0.95, 7, 1.8945786),
        (0.995, 10, 3.1692727),
        (0.975, 30, 2.0422725),
        (0.9995, 40, 3.5509658),
    ],
)
def test_quantiles_are_those_of_the_printed_tables(probability: float, degrees: int, expected: float) -> None:
    """The width of every interval rests on them."""
    assert t_quantile(probability, degrees) == pytest.approx(expected, abs=1e-6)
