"""A correction is used if it improves forecasts of windows that did not choose its weight, and otherwise not at all."""

import numpy as np
import pytest

from conftest import make_panel
from timellm_pipeline.evaluation.correction import PartErrors, choose_alpha
from timellm_pipeline.evaluation.significance import needed_origins
from timellm_pipeline.parameters import WindowParams
from timellm_pipeline.series.segments import segments_of
from timellm_pipeline.series.windows import Windows

HORIZON = 6


def make_windows(origins: int, num_series: int = 1, step: int = 1) -> Windows:
    """Validation windows of so many origins; their values do not matter."""
    window = WindowParams(seq_len=4, pred_len=HORIZON, patch_len=2, stride=1)
    rows = 4 + HORIZON + (origins - 1) * step
    panel = make_panel({f"channel {number}": np.zeros(rows, dtype=np.float32) for number in range(num_series)})
    return Windows(panel, segments_of(panel, list(range(num_series)), (0, rows), step, window), 4, HORIZON)


def errors_of(windows: Windows, residuals: np.ndarray, corrections: np.ndarray, every: int = 1) -> PartErrors:
    """Errors of these residuals and corrections [windows, pred_len], with every n-th window in the sample."""
    pairs = ((residuals, residuals), (residuals, corrections), (corrections, corrections))
    products = np.stack([(one * other).sum(axis=1) for one, other in pairs], axis=1)
    sample = np.arange(0, len(windows), every)
    return PartErrors(windows, products, sample, residuals[sample], corrections[sample])


def overlapping(rng: np.random.Generator, origins: int, memory: float = 0.7) -> np.ndarray:
    """Errors [origins, horizon] of an autoregressive series: horizons of neighbouring origins share its rows."""
    series = rng.standard_normal(origins + HORIZON - 1)
    for row in range(1, len(series)):
        series[row] += memory * series[row - 1]
    return np.lib.stride_tricks.sliding_window_view(series, HORIZON).copy()


def random_network(rng: np.random.Generator, origins: int) -> np.ndarray:
    """Outputs [origins, horizon] of a random network on windows of another autoregressive series."""
    windows = overlapping(rng, origins, memory=0.9)
    hidden = np.tanh(windows @ rng.standard_normal((HORIZON, 8)))
    return hidden @ rng.standard_normal((8, HORIZON)) / 4


SKILLS = {
    "noise": lambda rng, residuals: rng.standard_normal(residuals.shape),
    "correlated": lambda rng, residuals: overlapping(rng, len(residuals)),
    "constant": lambda rng, residuals: np.full(residuals.shape, rng.choice([-0.3, 0.3])),
    "network": lambda rng, residuals: random_network(rng, len(residuals)),
}


@pytest.mark.parametrize("origins", [needed_origins(HORIZON), 300])
def test_corrections_without_skill_are_almost_never_used(origins: int) -> None:
    """The null control: without it, whatever Time-LLM puts out would be called an improvement half of the time."""
    rng, windows, used, fitted = np.random.default_rng(0), make_windows(origins), 0, 0
    for number in range(200):
        residuals = overlapping(rng, origins)
        corrections = list(SKILLS.values())[number % len(SKILLS)](rng, residuals)
        alpha = choose_alpha(errors_of(windows, residuals, corrections)).alpha
        used += alpha.alpha > 0
        fitted += alpha.fitted > 0
    assert used <= 10, "of 200"
    assert fitted > 60, "the weight alone refuses only about half of them"


@pytest.mark.parametrize("weight", [0.3, 0.8])
def test_a_useful_correction_is_used_with_its_least_squares_weight(weight: float) -> None:
    """A test that is only careful would leave Time-LLM without effect, and a wrong weight would waste it."""
    rng, windows = np.random.default_rng(1), make_windows(600)
    corrections = overlapping(rng, 600, memory=0.2)
    residuals = weight * corrections + 0.5 * overlapping(rng, 600, memory=0.2)
    errors = errors_of(windows, residuals, corrections)
    alpha = choose_alpha(errors).alpha
    assert alpha.alpha == alpha.fitted == pytest.approx((residuals * corrections).sum() / (corrections**2).sum())
    assert alpha.alpha == pytest.approx(weight, abs=0.1)
    assert errors.mse(alpha.alpha) < 0.9 * errors.mse(0)
    assert f"the correction is used with weight {alpha.alpha:.3f}" in alpha.reason and "better" in alpha.reason
    assert alpha.comparison is not None and alpha.comparison.difference < 0 and alpha.comparison.block == HORIZON


def test_the_weight_is_at_most_one() -> None:
    """A weight above 1 would extrapolate from a validation period in which the network was too timid."""
    rng, windows = np.random.default_rng(2), make_windows(200)
    corrections = overlapping(rng, 200)
    choice = choose_alpha(errors_of(windows, 3 * corrections, corrections))
    alpha, errors = choice.alpha, choice.errors
    assert alpha.alpha == 1
    np.testing.assert_allclose(errors, 2 * corrections)


def test_validation_is_never_worse_with_the_chosen_weight() -> None:
    """The promise of the model: Time-LLM on top of the linear part never costs accuracy on validation."""
    rng, windows, used = np.random.default_rng(3), make_windows(150), 0
    for number in range(60):
        residuals, noise = overlapping(rng, 150), overlapping(rng, 150)
        corrections = rng.uniform(-1, 1) * residuals + (number % 4) * noise
        errors = errors_of(windows, residuals, corrections)
        alpha = choose_alpha(errors).alpha
        expected = np.mean((residuals - alpha.alpha * corrections) ** 2)
        assert errors.mse(alpha.alpha) == pytest.approx(expected, rel=1e-9)
        assert errors.mse(alpha.alpha) <= np.mean(residuals**2) * (1 + 1e-12)
        assert 0 <= alpha.alpha <= 1
        used += alpha.alpha > 0
    assert 5 < used < 55


def test_a_harmful_correction_is_not_used() -> None:
    """Without it a correction in the wrong direction would be used, or subtracted as if it were its opposite."""
    rng, windows = np.random.default_rng(4), make_windows(200)
    residuals = overlapping(rng, 200)
    for corrections in (-residuals, np.zeros_like(residuals)):
        choice = choose_alpha(errors_of(windows, residuals, corrections))
        alpha, errors = choice.alpha, choice.errors
        assert alpha.alpha == alpha.fitted == 0
        assert alpha.reason.startswith("the correction is not used; ")
        np.testing.assert_array_equal(errors, residuals)


def test_a_correction_that_helped_in_one_period_only_is_not_used() -> None:
    """Without it one good week of validation would decide: the mean improves, but not reliably."""
    rng, windows = np.random.default_rng(5), make_windows(300)
    corrections = overlapping(rng, 300, memory=0.0)
    residuals = overlapping(rng, 300, memory=0.0)
    residuals[100:140] += 2 * corrections[100:140]
    alpha = choose_alpha(errors_of(windows, residuals, corrections)).alpha
    assert alpha.fitted > 0.1 and alpha.alpha == 0


@pytest.mark.parametrize("origins", [1, 5, 20, needed_origins(HORIZON) - 1])
def test_too_few_origins_use_no_correction_and_say_how_many_are_needed(origins: int) -> None:
    """Without it a validation of two horizons, in which anything looks good, would decide."""
    rng, windows = np.random.default_rng(6), make_windows(origins, num_series=3)
    corrections = np.concatenate([overlapping(rng, origins) for _ in range(3)])
    choice = choose_alpha(errors_of(windows, corrections, corrections))
    alpha, errors = choice.alpha, choice.errors
    assert alpha.alpha == 0 and alpha.fitted == pytest.approx(1)
    assert f"too few origins: {origins}, needs at least {needed_origins(HORIZON)}" in alpha.reason
    np.testing.assert_array_equal(errors, corrections)
    windows = make_windows(needed_origins(HORIZON))
    corrections = rng.choice([-1.0, 1.0], size=(len(windows), HORIZON))
    assert choose_alpha(errors_of(windows, corrections, corrections)).alpha.alpha == 1


def group_weights(residuals: np.ndarray, corrections: np.ndarray, windows: Windows) -> np.ndarray:
    """Weight that the interval errors of each origin were computed with, from the errors that are returned."""
    choice = choose_alpha(errors_of(windows, residuals, corrections))
    alpha, errors = choice.alpha, choice.errors
    assert alpha.alpha > 0
    return ((residuals - errors) / corrections).mean(axis=1)


def test_weights_of_a_group_use_no_origin_of_it_and_none_within_a_horizon() -> None:
    """Without it the test would be one of fitted errors, which are always better, and accept too much."""
    rng, block, origins = np.random.default_rng(7), 6, 200
    windows = make_windows(origins)
    corrections = 2 + 0.2 * overlapping(rng, origins)
    residuals = 0.5 * corrections + 0.1 * overlapping(rng, origins)
    weights = group_weights(residuals, corrections, windows)
    groups = np.repeat(np.arange(10), 20)  # at most ten groups, equal and in time order
    assert len(np.unique(weights.round(9))) == 10
    for group in range(10):
        inside = np.flatnonzero(groups == group)
        np.testing.assert_allclose(weights[inside], weights[inside[0]], rtol=1e-9)
        used = (np.arange(origins) < inside[0] - block) | (np.arange(origins) > inside[-1] + block)
        expected = (residuals[used] * corrections[used]).sum() / (corrections[used] ** 2).sum()
        np.testing.assert_allclose(weights[inside], expected, rtol=1e-6)
        near = np.flatnonzero(~used)
        changed = residuals.copy()
        changed[near] += 0.3 * corrections[near]
        after = group_weights(changed, corrections, windows)
        np.testing.assert_allclose(after[inside], expected, rtol=1e-6)
        for edge in (near[0] - 1, near[-1] + 1):
            if 0 <= edge < origins:  # the nearest origin that is used
                changed = residuals.copy()
                changed[edge] += 0.3 * corrections[edge]
                after = group_weights(changed, corrections, windows)
                assert np.abs(after[inside] - expected).max() > 1e-6


def test_intervals_come_from_errors_with_the_weights_of_other_groups() -> None:
    """With the weight fitted on the same windows, the intervals would be too narrow."""
    rng, origins, series = np.random.default_rng(8), 150, 3
    windows = make_windows(origins, num_series=series, step=2)
    corrections = np.concatenate([overlapping(rng, origins) for _ in range(series)])
    residuals = 0.5 * corrections + 0.3 * np.concatenate([overlapping(rng, origins) for _ in range(series)])
    choice = choose_alpha(errors_of(windows, residuals, corrections))
    alpha, complete = choice.alpha, choice.errors
    assert alpha.alpha > 0
    weights = ((residuals - complete) / corrections).mean(axis=1).reshape(series, origins)
    np.testing.assert_allclose(weights, np.tile(weights[0], (series, 1)), rtol=1e-6)  # one origin, one weight
    assert np.abs(weights - alpha.alpha).min() > 1e-9 and np.abs(weights - alpha.alpha).max() < 0.1
    assert np.mean(complete**2) > np.mean((residuals - alpha.alpha * corrections) ** 2)
    choice = choose_alpha(errors_of(windows, residuals, corrections, every=7))
    sampled_alpha, sampled = choice.alpha, choice.errors
    assert sampled_alpha == alpha, "the sample is for intervals only"
    np.testing.assert_array_equal(sampled, complete[::7])


def test_every_series_of_an_origin_counts_in_its_error() -> None:
    """Without it series that lack some origins, as after gaps, would be compared at the wrong time."""
    rng = np.random.default_rng(9)
    both, one = make_windows(120, num_series=2), make_windows(120)
    corrections, noise = overlapping(rng, 120), overlapping(rng, 120)
    residuals = 0.3 * corrections + noise
    twice = [np.concatenate([values, values]) for values in (residuals, corrections)]
    alone = choose_alpha(errors_of(one, residuals, corrections)).alpha
    together = choose_alpha(errors_of(both, *twice)).alpha
    assert alone.comparison is not None and together.comparison is not None
    assert together.comparison.origins == alone.comparison.origins == 120
    assert together.fitted == pytest.approx(alone.fitted)
    assert together.comparison.low == pytest.approx(alone.comparison.low)
