"""A candidate must be better than the champion by the test that the report uses."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.evaluation.comparison import Scored
from timellm_pipeline.parameters import GatesParams
from timellm_pipeline.retraining import gates as gates_module
from timellm_pipeline.retraining.gates import Gate, champion_gates


def scored(errors: np.ndarray) -> Scored:
    """A scored model with these errors by origin."""
    scores: Any = SimpleNamespace(origin_errors=lambda: (errors, errors))
    return Scored(scores, np.zeros((len(errors), 2)))


def difference_gate(
    monkeypatch: pytest.MonkeyPatch, errors: np.ndarray, champion: np.ndarray, block: int, prefer: Any = "better"
) -> Gate:
    """The gate of the mean error."""
    monkeypatch.setattr(gates_module, "worst_slice", lambda *_: ("channel OT", 1.0))
    saved: Any = SimpleNamespace(config=SimpleNamespace(has_seen=lambda _: False, seen_until="2020-01-01"))
    gates = GatesParams(prefer=prefer)
    found = champion_gates(scored(errors), scored(champion), saved, pd.Timestamp("2020-01-02"), block, gates)
    return found[1]


def test_only_a_significantly_better_candidate_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller mean alone is as often chance as not."""
    rng = np.random.default_rng(0)
    champion = 1 + rng.random(400)
    noise = 0.1 * rng.normal(size=400)
    better = difference_gate(monkeypatch, champion + noise - 0.1, champion, 4)
    assert better.passed is True and "better" in better.found
    for difference in (noise - noise.mean() - 1e-4, noise + 0.1):
        gate = difference_gate(monkeypatch, champion + difference, champion, 4)
        assert gate.gate == "champion: significantly better" and gate.passed is False


@pytest.mark.parametrize(
    ("block", "needed", "advice"),
    [(1, 16, "lower evaluation.test_step or raise split.test_rows"), (4, 64, "raise split.test_rows")],
)
def test_too_few_origins_refuse_and_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, block: int, needed: int, advice: str
) -> None:
    """A test that cannot decide must not promote, and the user must learn why."""
    gate = difference_gate(monkeypatch, np.full(15, 0.5), np.ones(15), block)
    assert gate.passed is False
    assert gate.found == f"too few origins: 15, needs at least {needed}: {advice}"


def test_a_fresh_candidate_needs_no_test_of_significance(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prefer: fresh` limits the loss; it must work with few origins too."""
    gate = difference_gate(monkeypatch, np.full(15, 1.01), np.ones(15), 4, prefer="fresh")
    assert gate.passed is True and "+0.0100, too few origins: 15, needs at least 64" in gate.found
