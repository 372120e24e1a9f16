"""A candidate must be better than the champion by the test that the report uses, and not worse than simple models."""

from typing import Any

import numpy as np
import pytest

from timellm_pipeline.parameters import GatesParams
from timellm_pipeline.retraining.gates import difference_gate, floor_gates


def test_only_a_significantly_better_candidate_is_promoted() -> None:
    """A smaller mean alone is as often chance as not."""
    rng = np.random.default_rng(0)
    champion = 1 + rng.random(400)
    noise = 0.1 * rng.normal(size=400)
    better = difference_gate(champion + noise - 0.1, champion, 4, GatesParams())
    assert better.passed is True and "better" in better.found
    for difference in (noise - noise.mean() - 1e-4, noise + 0.1):
        gate = difference_gate(champion + difference, champion, 4, GatesParams())
        assert gate.gate == "champion: significantly better" and gate.passed is False


def test_too_few_origins_never_promote() -> None:
    """Half of the candidates that are no better were promoted where the test had a single origin."""
    for origins, block in ((1, 1), (15, 1), (63, 4)):
        gate = difference_gate(np.full(origins, 0.5), np.ones(origins), block, GatesParams())
        assert gate.passed is False and f"too few origins: {origins}, needs at least {16 * block}" in gate.found


def test_a_fresh_candidate_needs_no_test_of_significance() -> None:
    """`prefer: fresh` limits the loss; it must work with few origins too."""
    gate = difference_gate(np.full(15, 1.01), np.ones(15), 4, GatesParams(prefer="fresh"))
    assert gate.passed is True and "+0.0100, too few origins: 15, needs at least 64" in gate.found
    assert difference_gate(np.full(15, 1.03), np.ones(15), 4, GatesParams(prefer="fresh")).passed is False


@pytest.mark.parametrize(
    ("mse", "refused"),
    [
        ({"timellm": 0.50, "seasonal_naive": 0.60, "linear": 0.50}, []),
        ({"timellm": 0.51, "seasonal_naive": 0.60, "linear": 0.50}, []),
        ({"timellm": 0.52, "seasonal_naive": 0.60, "linear": 0.50}, ["floor: linear"]),
        ({"timellm": 0.50, "seasonal_naive": 0.50, "linear": 0.50}, ["floor: seasonal_naive"]),
        ({"timellm": 1e-14, "seasonal_naive": 0.0, "linear": 0.0}, []),
    ],
    ids=["as good", "within 2 %", "worse than a ridge", "as seasonal naive", "a series without noise"],
)
def test_the_floors_are_on_by_default(mse: dict[str, float], refused: list[str]) -> None:
    """A first champion has nobody to be compared with except the baselines."""
    reports: dict[str, Any] = {
        name: {"scaled": {"mse": value}, "original": {"mase": 0.9}} for name, value in mse.items()
    }
    gates = floor_gates(reports, GatesParams())
    assert [gate.gate for gate in gates if gate.passed is False] == refused
    off = floor_gates(reports, GatesParams.model_validate({"linear": False, "seasonal_naive": False}))
    assert [gate.passed for gate in off] == [None, None, None]
