"""The simulation that chose the default of `gates.prefer`: a still year rests, a drifting year promotes."""

import numpy as np
import pytest

from promotion_power import POLICIES, SCENARIOS, make_series, simulate, windows
from timellm_pipeline.parameters import GatesParams

pytestmark = pytest.mark.long
YEARS = 10


def promotions_a_year(scenario: str) -> dict[str, np.ndarray]:
    """Promotions in each simulated year, by policy."""
    found = simulate(np.random.default_rng(0), scenario, horizons=16, years=YEARS)
    return {name: np.stack(year.promotions).sum(axis=0) for name, year in found.items()}


def test_the_default_rests_where_all_models_are_equally_good() -> None:
    """49 % of the candidates that are no better were promoted."""
    found = promotions_a_year("equal")
    assert POLICIES["better"] == GatesParams(), "the default is what is simulated"
    assert found["better"].mean() < 3 and found["fresh, 2 %"].mean() > 40 and found["always"].tolist() == [52] * YEARS


@pytest.mark.parametrize("scenario", ["10 % better", "sudden change"])
def test_the_default_promotes_what_is_better(scenario: str) -> None:
    """A test that never promotes has no false promotions either."""
    found = simulate(np.random.default_rng(0), scenario, horizons=16, years=YEARS)
    assert np.stack(found["better"].promotions).any(axis=0).all()
    assert np.mean(found["better"].losses) < 0.95 * np.mean(found["never"].losses)


def test_windows_and_scenarios_are_what_they_are_called() -> None:
    """A window that contained its own future would make every model perfect."""
    values = np.arange(400, dtype=np.float32)[None]
    x, y = windows(values, 200, 203)
    assert x.shape == (1, 3, 72) and y.shape == (1, 3, 24)
    assert x[0, 0, -1] == 199 and y[0, 0, 0] == 200 and y[0, 2, 0] == 202
    series = {name: make_series(np.random.default_rng(1), name, years=2) for name in SCENARIOS}
    assert np.array_equal(series["equal"], series["still"]) and not np.array_equal(
        series["still"], series["slow drift"]
    )
