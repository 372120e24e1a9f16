"""Nodes of the forecast. torch takes seconds to import, so they import it when they run."""

import logging
from typing import Any

import pandas as pd

from timellm_pipeline.parameters import BackboneParams, ForecastParams

log = logging.getLogger(__name__)


def forecast(
    timellm_model: Any, backbone: Any, series: pd.DataFrame, forecast: ForecastParams, backbone_place: BackboneParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What comes after the last row, as a table twice: for Parquet and for CSV."""
    from timellm_pipeline.model.compute import compute_as_trained
    from timellm_pipeline.model.future import check_series, forecast_series

    check_series(series, timellm_model)  # before the backbone is loaded
    log.info("forecasting with model version %s, from %s", timellm_model.folder.parent.name, series.attrs["file"])
    compute = compute_as_trained(timellm_model.config.precision)
    model = timellm_model.load(backbone, compute, backbone_place)
    if timellm_model.intervals() is None and forecast.levels:
        log.warning("the model in %s was not calibrated: no prediction intervals are given", timellm_model.folder)
    table = forecast_series(model, timellm_model, series, forecast.origins, forecast.levels, forecast.batch_size)
    newest = table[table["window_end"] == table["window_end"].max()]
    log.info(
        "%s channels, %s to %s, after the last row at %s",
        newest["channel"].nunique(),
        newest["timestamp"].min(),
        newest["timestamp"].max(),
        newest["window_end"].iloc[0],
    )
    return table, table


def draw_forecast(forecast: pd.DataFrame, series: pd.DataFrame) -> Any:
    """A panel a channel: the last window, the forecast with its intervals, and seasonal naive."""
    from timellm_pipeline.evaluation.future_plot import backtest_table, plot_future

    measured = backtest_table(forecast, series)
    if measured:
        log.info("The forecasts whose rows have come since:\n%s", measured)
    return plot_future(forecast, series)
