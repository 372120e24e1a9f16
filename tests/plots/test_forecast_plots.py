"""The plot of a forecast continues the series, and shows seasonal naive of the same origin beside it."""

import numpy as np
import pandas as pd
import pytest

from conftest import small_parameters
from timellm_pipeline.plots.forecast import plot_future
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import validate


@pytest.fixture
def series(raw_series: pd.DataFrame) -> Panel:
    parameters = small_parameters()
    return validate(raw_series, parameters.data, parameters.window)


def forecast_after(series: Panel, last: int) -> pd.DataFrame:
    """A forecast of four rows of OT after a row, two above the values that followed."""
    return pd.DataFrame(
        {
            "channel": "OT",
            "window_end": series.stamps[last],
            "step": np.arange(1, 5),
            "timestamp": series.stamps[last + 1 : last + 5],
            "forecast": series.series(series.number_of["OT"])[last + 1 : last + 5] + 2.0,
        }
    )


def test_seasonal_naive_is_that_of_the_origin(series: Panel, raw_series: pd.DataFrame) -> None:
    """A season later, the baseline would have seen the values that it is compared on."""
    figure = plot_future(forecast_after(series, 395), series)
    assert [line.name for line in figure.data] == ["history", "seasonal naive", "forecast"]
    np.testing.assert_allclose(figure.data[1].y, raw_series["OT"].iloc[372:376].to_numpy(), atol=1e-6)
    np.testing.assert_allclose(figure.data[2].y, raw_series["OT"].iloc[396:400].to_numpy() + 2, atol=1e-6)
    assert figure.data[0].x[-1] == "2020-01-17 15:00:00" and figure.data[2].x[0] == "2020-01-17 12:00:00"


def test_intervals_are_drawn_when_the_table_has_them(series: Panel) -> None:
    """A wide level drawn last would cover the narrow one."""
    table = forecast_after(series, 395)
    for level, half in ((80, 1.0), (95, 2.0)):
        table[f"lower_{level}"], table[f"upper_{level}"] = table["forecast"] - half, table["forecast"] + half
    figure = plot_future(table, series)
    names = [line.name for line in figure.data]
    assert names == ["history", "95 % interval", "80 % interval", "seasonal naive", "forecast"]
    np.testing.assert_allclose(figure.data[1].y[:4], table["upper_95"])
