"""Figure of forecasts: of future values, and of past origins together with the true values."""

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from timellm_pipeline.evaluation.baselines import seasonal_naive
from timellm_pipeline.plots.style import COLORS, plain, styled
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.panel import Panel

MOST_PANELS = 16
MOST_SEEN = 3  # horizons of past values that are plotted before the forecast


def plot_future(forecast: pd.DataFrame, series: Panel) -> go.Figure:
    """Figure with one plot per channel (at most 16): last rows, forecasts, prediction intervals, seasonal naive.

    Args:
        forecast: table of `TimeLLM.forecast`.
        series: validated series that was forecast, in original units.
    """
    channels = forecast["channel"].unique()[:MOST_PANELS].tolist()
    forecast = forecast[forecast["channel"].isin(channels)]
    pred_len = int(forecast["step"].max())
    season = season_length(series.frequency)
    levels = sorted({int(name) for name in re.findall(r"lower_(\d+)", " ".join(forecast.columns))}, reverse=True)
    figure = make_subplots(rows=len(channels), cols=1, vertical_spacing=0.25 / max(len(channels), 1))
    origins = sorted(forecast["window_end"].unique())
    stamps = series.stamps_in_file
    first_shown = max(stamps.get_indexer(pd.DatetimeIndex(origins[:1]))[0] - MOST_SEEN * pred_len, 0)
    for row, channel in enumerate(channels, start=1):
        number_in_panel = series.number_of[channel]
        values, begin = series.series(number_in_panel), int(series.first[number_in_panel])
        shown = slice(max(first_shown - begin, 0), None)
        own_stamps = stamps[begin : begin + len(values)]
        _line(figure, row, "history", own_stamps[shown], values[shown], color="input")
        own = forecast[forecast["channel"] == channel]
        for number, (origin, part) in enumerate(own.groupby("window_end", sort=True)):
            for level in levels:
                _band(figure, row, part, level, shown=row == 1 and number == 0)
            last = int(own_stamps.get_indexer(pd.DatetimeIndex([origin]))[0])
            naive = seasonal_naive(values[: last + 1][None], pred_len, season)[0]
            first = number == 0
            _line(figure, row, "seasonal naive", part["timestamp"], naive, dash="dot", legend=first)
            _line(figure, row, "forecast", part["timestamp"], part["forecast"].to_numpy(), width=2, legend=first)
        figure.update_yaxes(title_text=plain(channel), row=row, col=1)
    figure.update_layout(height=200 * len(channels) + 120)
    return styled(figure, f"Forecast after {origins[-1]} (original units)", None, None)


def _line(
    figure: go.Figure,
    row: int,
    name: str,
    dates: pd.Series | pd.DatetimeIndex,
    values: np.ndarray,
    *,
    color: str | None = None,
    dash: str = "solid",
    width: float = 1.5,
    legend: bool = True,
) -> None:
    figure.add_scatter(
        x=dates.astype(str).tolist(),
        y=np.round(values, 6).tolist(),
        name=name,
        legendgroup=name,
        showlegend=legend and row == 1,
        line={"color": COLORS[color or name], "dash": dash, "width": width},
        row=row,
        col=1,
    )


def _band(figure: go.Figure, row: int, part: pd.DataFrame, level: int, shown: bool) -> None:
    stamps = part["timestamp"].astype(str).tolist()
    figure.add_scatter(
        x=stamps + stamps[::-1],
        y=part[f"upper_{level}"].round(6).tolist() + part[f"lower_{level}"].round(6).tolist()[::-1],
        fill="toself",
        fillcolor="rgba(209,73,91,0.14)",
        line={"width": 0},
        hoverinfo="skip",
        name=f"{level} % interval",
        legendgroup=f"{level}",
        showlegend=shown,
        row=row,
        col=1,
    )
