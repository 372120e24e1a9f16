"""A difference is reported as significant when it is, and only then."""

import numpy as np

from timellm_pipeline.evaluation.significance import compare_origins


def test_a_real_difference_is_significant_and_chance_is_not() -> None:
    """Overlapping windows are alike: drawn one by one they would make chance seem certain."""
    rng = np.random.default_rng(0)
    slow = np.convolve(rng.normal(size=2100), np.ones(100) / 10, mode="valid")  # a hundred neighbours alike
    by_block = [compare_origins(slow[n : n + 500] - slow[n : n + 500].mean(), np.zeros(500), 1) for n in (0, 700, 1400)]
    assert all(found["low"] <= 0 <= found["high"] for found in by_block)
    by_size = {block: compare_origins(slow[:2000], np.zeros(2000), block) for block in (1, 100)}
    widths = {block: found["high"] - found["low"] for block, found in by_size.items()}
    assert widths[100] > 4 * widths[1]
    assert compare_origins(1 + 0.1 * slow[:2000], np.zeros(2000), 100)["significant"] is True
    assert compare_origins(slow[:2000] - slow[:2000].mean(), np.zeros(2000), 100)["significant"] is False
    assert compare_origins(np.ones(20), np.zeros(20), 10)["significant"] is None


def test_the_interval_of_a_difference_covers_it_as_often_as_it_promises() -> None:
    """An interval that is too narrow calls noise a difference."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(100):
        noise = np.convolve(rng.normal(size=619), np.ones(20) / 20, mode="valid")
        found = compare_origins(noise, np.zeros(600), 40)
        inside += found["low"] <= 0 <= found["high"]
    assert 85 <= inside <= 100
