"""A backtest measures forecasts on rows whose values are in the series, and on no others."""

import numpy as np
import pandas as pd
import pytest

from conftest import small_parameters
from timellm_pipeline.evaluation.backtest import backtest_table
from timellm_pipeline.series.prepare import validate


@pytest.mark.parametrize("zone", ["", "+02:00"])
def test_a_backtest_is_measured_on_rows_whose_values_are_known(raw_series: pd.DataFrame, zone: str) -> None:
    """Future values have no error yet; past ones have, whatever UTC offset the file writes."""
    parameters = small_parameters()
    table = raw_series.assign(date=raw_series["date"] + zone)
    series = validate(table, parameters.data, parameters.window)
    stamps = series.stamps_in_file
    forecast = pd.DataFrame(
        {
            "channel": "OT",
            "window_end": stamps[-5],
            "step": np.arange(1, 5),
            "timestamp": stamps[-4:],
            "forecast": raw_series["OT"].iloc[-4:].to_numpy() + 2.0,
        }
    )
    heading, line = backtest_table(forecast, series).splitlines()
    assert line.split() == ["OT", "2"] and "1 origins" in heading
    partly = forecast.assign(timestamp=stamps[-4:] + pd.Timedelta("2h"))
    partly["forecast"] = [*raw_series["OT"].iloc[-2:] + 3.0, 1e9, 1e9]
    assert backtest_table(partly, series).splitlines()[1].split() == ["OT", "3"]
    later = forecast.assign(timestamp=forecast["timestamp"] + pd.Timedelta("3650D"))
    assert backtest_table(later, series) == ""


def test_rows_that_were_filled_in_have_no_error(raw_series: pd.DataFrame) -> None:
    """An interpolated value is no measurement: a forecast must not be rated by it."""
    parameters = small_parameters(data={"gaps": "interpolate"})
    table = raw_series.copy()
    table.loc[len(table) - 2, "OT"] = np.nan
    series = validate(table, parameters.data, parameters.window)
    stamps = series.stamps_in_file
    forecast = pd.DataFrame({"channel": "OT", "window_end": stamps[-5], "timestamp": stamps[-4:]})
    forecast["forecast"] = series.series(series.number_of["OT"])[-4:] + [1.0, 1.0, 1e6, 1.0]
    assert backtest_table(forecast, series).splitlines()[1].split() == ["OT", "1"]
    assert backtest_table(forecast.assign(channel="HUFL"), series).splitlines()[1].split()[1] != "1"
    assert backtest_table(forecast.iloc[2:3], series) == ""
