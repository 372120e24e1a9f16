"""Steps between windows that the parameters leave open."""

import math

import pandas as pd
import pytest

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.pipelines.explain.explanations import steps_reason
from timellm_pipeline.series.steps import (
    LONGEST_BLOCK,
    TEST_WINDOWS,
    TRAIN_WINDOWS,
    VALIDATION_WINDOWS,
    derive_step,
    limits_of,
)

LIMITS = limits_of(168, 24)
OPEN = {"window": {"window_step": None}, "evaluation": {"validation_step": None, "test_step": None}}


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize("num_windows", [0, 1, 900])
def test_a_short_series_keeps_every_window(name: str, num_windows: int) -> None:
    """Few windows are few already; no window at all is the error of the caller, not a division by zero."""
    assert [derive_step(num_windows, LIMITS[name], seasons) for seasons in ((24, 168), (7,), (1,))] == [1, 1, 1]


@pytest.mark.parametrize(("name", "aim"), [("train", TRAIN_WINDOWS), ("validation", VALIDATION_WINDOWS)])
def test_the_number_of_windows_is_bounded_in_every_phase_of_every_season(name: str, aim: int) -> None:
    """Every 24th hour would always be the same hour of the day, and every seventh would miss most hours of the week."""
    for num_windows in range(aim + 1, 12 * aim, aim // 7):
        step = derive_step(num_windows, LIMITS[name], (24, 168))
        assert num_windows / step <= aim and math.gcd(step, 168) == 1


@pytest.mark.parametrize("horizon", [*range(1, 30), 96, 720])
@pytest.mark.parametrize("seasons", [(24, 168), (7,), (12,), (1,)])
def test_origins_of_one_horizon_span_one_horizon(horizon: int, seasons: tuple[int, ...]) -> None:
    """With a step of 23 in a horizon of 24, a test of significance would see half of its blocks."""
    for num_windows in (5_000, 50_000, 10**7):
        step = derive_step(num_windows, limits_of(2 * horizon, horizon)["test"], seasons)
        assert 1 <= step <= horizon and -(-horizon // step) * step <= LONGEST_BLOCK * horizon
    assert derive_step(10**7, limits_of(48, 24)["test"], (24, 168)) == 13, "the largest that is suitable"
    assert derive_step(10**9, LIMITS["train"], (24, 168)) == 167, "every row is an input"
    assert derive_step(11 * TEST_WINDOWS, limits_of(48, 24)["test"], ()) == 12, "a step of 11 would span 33 rows"


def test_the_index_has_the_derived_steps_and_the_log_gives_the_numbers(raw_series: pd.DataFrame) -> None:
    """What bounds the time must be what the log says."""
    parameters = small_parameters(window=OPEN["window"], evaluation=OPEN["evaluation"])
    data = make_inputs(raw_series, parameters)
    assert data.index.facts.derived_steps == ("window_step", "validation_step", "test_step")
    plan, window, evaluation = data.plan, parameters.window, parameters.evaluation
    assert (plan.window_step, plan.validation_step, plan.test_step) == (1, 1, 1)
    assert "so that every window is used" in steps_reason(plan, window, evaluation)
    coarser = plan.model_copy(update={"window_step": 5, "train_windows": 1_234})
    assert "window_step=5" in steps_reason(coarser, window, evaluation)
    assert "Here it is 1,234" in steps_reason(coarser, window, evaluation)
    given = small_parameters(evaluation={"test_step": None})
    data = make_inputs(raw_series, given)
    assert data.index.facts.derived_steps == ("test_step",)
    assert "window_step=" not in steps_reason(data.plan, given.window, given.evaluation)
    assert not steps_reason(plan, small_parameters().window, small_parameters().evaluation)


def test_a_series_without_any_window_is_one_error_whatever_the_season(raw_series: pd.DataFrame) -> None:
    """With a step of seven hours there is no season, and it was a division by zero."""
    table = raw_series.copy()
    table["date"] = pd.date_range("2020", periods=len(table), freq="7h").astype(str)
    table.loc[table.index % 10 == 5, table.columns[1:]] = None
    parameters = small_parameters(data={"gaps": "drop_windows"}, **OPEN)
    with pytest.raises(SeriesError, match="contains a gap"):
        make_inputs(table, parameters)
