"""Pictures of forecasts of what has not come yet, and of those whose rows have come since."""

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from timellm_pipeline.evaluation.style import COLORS, plain, styled
from timellm_pipeline.series.frequency import season_length

MOST_PANELS = 16
MOST_SEEN = 3  # horizons of the past that are drawn before the forecast


def plot_future(forecast: pd.DataFrame, series: pd.DataFrame) -> go.Figure:
    """A panel a channel (16 at most): what was seen, the forecasts, their intervals, and seasonal naive.

    Args:
        forecast: the table of `forecast_series`.
        series: the checked series it goes on from.
    """
    channels = list(dict.fromkeys(forecast["channel"]))[:MOST_PANELS]
    pred_len = int(forecast["step"].max())
    season = season_length(series.attrs["frequency"])
    levels = sorted({int(name) for name in re.findall(r"lower_(\d+)", " ".join(forecast.columns))}, reverse=True)
    figure = make_subplots(rows=len(channels), cols=1, vertical_spacing=0.25 / max(len(channels), 1))
    origins = sorted(forecast["window_end"].unique())
    first_shown = pd.Index(series["date"]).get_loc(origins[0]) - MOST_SEEN * pred_len
    for row, channel in enumerate(channels, start=1):
        seen = series.iloc[max(first_shown, 0) :]
        _line(figure, row, "seen", seen["date"], seen[channel].to_numpy(), color="seen")
        for number, origin in enumerate(origins):
            part = forecast[(forecast["channel"] == channel) & (forecast["window_end"] == origin)]
            for level in levels:
                _band(figure, row, part, level, shown=row == 1 and number == 0)
            past = series.loc[series["date"] <= origin, channel].to_numpy()
            steps = np.arange(pred_len) % season
            naive = past[len(past) - season + steps] if season <= len(past) else np.repeat(past[-1], pred_len)
            first = number == 0
            _line(figure, row, "seasonal naive", part["timestamp"], naive, dash="dot", legend=first)
            _line(figure, row, "Time-LLM", part["timestamp"], part["forecast"].to_numpy(), width=2, legend=first)
        figure.update_yaxes(title_text=plain(channel), row=row, col=1)
    figure.update_layout(height=200 * len(channels) + 120)
    return styled(figure, f"Forecast after {origins[-1]} (original units)", None, None)


def backtest_table(forecast: pd.DataFrame, series: pd.DataFrame) -> str:
    """Mean absolute error of each channel over the forecast rows that the series has, or nothing where it has none."""
    truth = series.melt("date", var_name="channel", value_name="truth").rename(columns={"date": "timestamp"})
    known = forecast.merge(truth, on=["timestamp", "channel"])
    if known.empty:
        return ""
    known["error"] = (known["forecast"] - known["truth"]).abs()
    lines = [f"  {'channel':<16} {'MAE':>10}   (original units, {known['window_end'].nunique()} origins)"]
    of_channel = known.groupby("channel", sort=False)["error"].mean()
    lines += [f"  {channel:<16} {error:>10.4g}" for channel, error in of_channel.items()]
    return "\n".join(lines)


def _line(
    figure: go.Figure,
    row: int,
    name: str,
    dates: pd.Series,
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
