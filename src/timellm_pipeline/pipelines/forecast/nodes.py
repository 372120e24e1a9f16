"""Nodes of the forecast. They import torch when they run, because the import takes seconds."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import pandas as pd

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.forecast_tables import Forecasts, forecast_tables
from timellm_pipeline.model.future import select_windows
from timellm_pipeline.model.parts import linear_forecasts
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import BackboneParams, DataParams, ForecastParams, WorkersParams
from timellm_pipeline.pipelines.data.nodes import read_for_model
from timellm_pipeline.series.known_rows import with_future
from timellm_pipeline.series.long_table import JOIN
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.reading import RawFile
from timellm_pipeline.series.validation import Wanted

log = logging.getLogger(__name__)


def validate(raw_series: RawFile, known_future: RawFile | None, timellm_model: SavedModel, data: DataParams) -> Panel:
    """The validated channels that the model needs for a forecast, with the known columns of a second file."""
    wanted = Wanted.for_forecast(timellm_model.config.needed_channels)
    series = read_for_model(raw_series, timellm_model, data, wanted)
    return series if known_future is None else with_future(series, known_future, data)


def forecast(
    timellm_model: SavedModel,
    backbone: BackboneSource,
    series: Panel,
    forecast: ForecastParams,
    backbone_place: BackboneParams,
    workers: WorkersParams,
) -> "ForecastTables":
    """The forecast as tables, which are computed while they are written.

    torch is not imported, and no backbone loaded, if alpha is 0.
    """
    select_windows(series, timellm_model, forecast.origins)  # raises errors before the backbone is loaded
    if timellm_model.intervals() is None and forecast.levels:
        log.warning("the model in %s is not calibrated: there are no prediction intervals", timellm_model.folder)
    if timellm_model.config.alpha == 0:
        return ForecastTables(timellm_model, partial(linear_forecasts, timellm_model.linear()), series, forecast)
    from timellm_pipeline.model.compute import compute_as_trained
    from timellm_pipeline.model.timellm import TimeLLM

    compute = compute_as_trained(timellm_model.config.precision)
    model = TimeLLM.from_saved(timellm_model, backbone, compute, backbone_place, workers=workers)
    return ForecastTables(timellm_model, model.forecast_windows, series, forecast)


@dataclass(frozen=True)
class ForecastTables:
    """A forecast in parts.

    Attributes:
        saved: the model folder.
        forecasts: forecasts windows with the model.
        series: series to forecast.
        forecast: the parameter group `forecast`.
    """

    saved: SavedModel
    forecasts: Forecasts
    series: Panel
    forecast: ForecastParams

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Iterator over the tables, with the names of a long file."""
        options = self.forecast
        tables = forecast_tables(
            self.saved, self.forecasts, self.series, options.origins, options.levels, options.batch_size
        )
        for table in tables:
            yield named_as_in_file(table, self.series)


def write_csv(forecast: pd.DataFrame) -> pd.DataFrame:
    """The forecast, to be saved as CSV. Its size is logged."""
    newest = forecast[forecast["window_end"] == forecast["window_end"].max()]
    stamps = newest.iloc[:, newest.columns.get_loc("step") + 1]
    log.info(
        "%s forecasts, %s to %s, after the last row at %s",
        f"{int((newest['step'] == 1).sum()):,}",
        stamps.min(),
        stamps.max(),
        newest["window_end"].iloc[0],
    )
    return forecast


def named_as_in_file(table: pd.DataFrame, series: Panel) -> pd.DataFrame:
    """A forecast with the columns of ids and time stamps of a long file; unchanged for a wide file."""
    names = series.source.id_columns
    if not names:
        return table
    parts = table["channel"].str.split(JOIN, n=len(names) - 1, expand=True) if len(names) > 1 else table[["channel"]]
    named = table.drop(columns="channel").rename(columns={"timestamp": series.source.date_column})
    for place, name in enumerate(names):
        named.insert(place, name, parts.iloc[:, place])
    return named


def draw_forecast(forecast: pd.DataFrame, series: Panel) -> Any:
    """A plot of each channel: the last window, the forecast with its intervals, and the seasonal naive forecast."""
    from timellm_pipeline.evaluation.backtest import backtest_table
    from timellm_pipeline.plots.forecast import plot_future

    if series.source.id_columns:
        first, *others = (forecast[name] for name in series.source.id_columns)
        channel = reduce(lambda joined, part: joined + JOIN + part, others, first)
        forecast = forecast.rename(columns={series.source.date_column: "timestamp"}).assign(channel=channel)
    measured = backtest_table(forecast, series)
    if measured:
        log.info("Errors of the forecasts whose true values are in the series:\n%s", measured)
    return plot_future(forecast, series)
