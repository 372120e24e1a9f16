"""Errors of the champion on values after its promotion are in its own units, and only on those values."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import small_parameters
from timellm_pipeline.evaluation.baselines import seasonal_naive
from timellm_pipeline.model.intervals import Intervals
from timellm_pipeline.parameters.forecast import LEVELS
from timellm_pipeline.retraining.live import _row_of, live_errors
from timellm_pipeline.series.prepare import prepare

SEASON = 24


def test_live_errors_are_those_of_later_values_in_the_champions_units(raw_series: pd.DataFrame) -> None:
    """In the candidate's units the curve of a champion would move with every candidate."""
    data = prepare(raw_series, small_parameters()).training
    test = data.windows("test")
    which = np.arange(len(test))
    truth, x = test.gather(which)[1], test.gather(which)[0]
    forecasts = truth + 0.5  # half a deviation of the candidate
    std = [2 * value for value in data.scaler.std]
    widths = np.full((len(LEVELS), test.panel.num_series, test.pred_len), 0.2, dtype=np.float32)
    widths[LEVELS.index(95)] = 0.3  # the error is 0.25 deviations of the champion
    champion: Any = SimpleNamespace(
        scaler=data.scaler.model_copy(update={"std": std}), intervals=lambda: Intervals(widths)
    )
    newest = test.panel.stamps[int(test.origins()[4])]
    found = live_errors(champion, forecasts, data, str(newest), SEASON)
    assert found is not None and found.origins == len(test.origins()) - 4
    assert np.isclose(found.mse, 0.25**2) and found.inside == {"80": 0.0, "95": 1.0}
    later = test.origin(which) >= test.origins()[4]
    naive = ((seasonal_naive(x, test.pred_len, SEASON) - truth)[later] / 2) ** 2
    assert np.isclose(found.seasonal_naive, naive.mean())
    assert pd.Timestamp(found.first) == newest + pd.Timedelta("1h")
    assert pd.Timestamp(found.last) == test.panel.stamps[int(test.origins()[-1]) + test.pred_len]


@pytest.mark.parametrize(
    ("newest", "zone", "row"),
    [
        ("2020-01-01 05:00:00", None, 5),
        ("2020-01-01 05:30:00", None, 5),
        ("2020-01-01 05:00:00-05:00", "UTC", 10),
        ("2020-01-01 05:00:00-05:00", None, 5),
        ("2020-01-01 05:00:00", "-05:00", 5),
        ("2019-01-01", None, -1),
    ],
)
def test_zones_are_compared_where_both_are_known(newest: str, zone: str | None, row: int) -> None:
    """At the first change of daylight saving time a file goes from wall time to UTC."""
    assert _row_of(newest, pd.date_range("2020-01-01", periods=24, freq="h", tz=zone)) == row


def test_there_are_no_live_errors_before_a_horizon_has_passed(raw_series: pd.DataFrame) -> None:
    """An average over nothing would be reported as a number."""
    data = prepare(raw_series, small_parameters()).training
    test = data.windows("test")
    newest = str(test.panel.stamps[-1])
    champion: Any = SimpleNamespace(scaler=data.scaler, intervals=lambda: None)
    truth = test.gather(np.arange(len(test)))[1]
    assert live_errors(champion, truth, data, newest, SEASON) is None
    before = live_errors(champion, truth, data, "2000-01-01", SEASON)
    assert before is not None and before.mse == 0 and before.inside == {}
