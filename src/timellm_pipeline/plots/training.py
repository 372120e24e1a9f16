"""Plotly figures of a training run and its test, shown by kedro-viz."""

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from timellm_pipeline.evaluation.examples import Example
from timellm_pipeline.plots.style import COLORS, NAMES, plain, styled

MOST_SEEN = 2  # horizons of the input that are plotted before the forecast


def plot_history(history: pd.DataFrame) -> go.Figure:
    """Figure of training loss and validation error by step, with the lowest validation error marked."""
    figure = go.Figure()
    figure.add_scatter(
        x=history["step"].tolist(), y=history["loss"].tolist(), name="training loss", line_color="#8d96a3"
    )
    validated = history.dropna(subset="validation_mse")
    steps, errors = validated["step"].tolist(), validated["validation_mse"].tolist()
    figure.add_scatter(x=steps, y=errors, name="validation MSE", mode="lines+markers", line_color=COLORS["timellm"])
    if errors and min(errors) > 0:
        best = errors.index(min(errors))
        # Coordinates of annotations on a logarithmic axis are logarithms.
        position = {"x": steps[best], "y": math.log10(errors[best]), "ax": 0, "ay": -36, "xanchor": "right"}
        figure.add_annotation(text=f"lowest {errors[best]:.4f}", **position)
    figure.update_yaxes(type="log")  # the large first losses would flatten the rest of the curve
    return styled(figure, "Training", "step (one batch)", "MSE (scaled units, log scale)")


def plot_forecasts(examples: list[Example]) -> go.Figure:
    """Figure of a few test windows, one below the other: input, true values and forecasts, in original units."""
    titles = [plain(example.title) for example in examples]
    spacing = 0.28 / max(len(examples), 1)
    figure = make_subplots(rows=len(examples), cols=1, vertical_spacing=spacing, subplot_titles=titles)
    for row, example in enumerate(examples, start=1):
        shown = MOST_SEEN * len(example.truth)
        lines = [
            ("input", example.input_dates[-shown:], example.seen[-shown:], "solid"),
            ("true values", example.horizon_dates, example.truth, "solid"),
            ("seasonal naive", example.horizon_dates, example.forecasts["seasonal naive"], "dot"),
            ("forecast", example.horizon_dates, example.forecasts["forecast"], "solid"),
        ]
        for name, dates, values, dash in lines:
            figure.add_scatter(
                x=dates.astype(str).tolist(),
                y=values.round(6).tolist(),
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                line={"color": COLORS[name], "dash": dash, "width": 2 if name == "forecast" else 1.5},
                row=row,
                col=1,
            )
        if not example.title:  # a title contains the channel
            figure.update_yaxes(title_text=plain(example.channel), row=row, col=1)
    figure.update_layout(height=230 * len(examples) + 120)
    styled(figure, "Forecasts of test windows (original units)", None, None)
    if any(titles):  # the legend goes above the title of the first panel
        figure.update_annotations(font_size=13)
        figure.update_layout(legend_y=1.04, title_pad_b=62, margin_t=116)
    return figure


def plot_horizon(metrics: dict[str, Any]) -> go.Figure:
    """Figure of the mean squared error of each model by horizon step."""
    figure = go.Figure()
    for name, scores in metrics["models"].items():
        if name not in NAMES:  # the whole correction, which the table has
            continue
        errors = scores["scaled"]["per_horizon"]["mse"]
        figure.add_scatter(
            x=list(range(1, len(errors) + 1)),
            y=errors,
            name=f"{NAMES[name]} ({scores['scaled']['mse']:.3f})",
            line={"color": COLORS[name], "width": 2.5 if name == "timellm" else 1.5},
        )
    figure.update_yaxes(rangemode="tozero")
    title = f"Error by horizon step, {metrics['num_windows']:,} test windows"
    return styled(figure, title, "rows ahead", "MSE (scaled units)")


def plot_origins(origins: pd.DataFrame, pred_len: int) -> go.Figure:
    """Figure of the mean squared error by origin, as a running median over one horizon.

    It shows whether a large error is caused by a period that is hard to forecast or by the model.
    """
    figure = go.Figure()
    for name, rows in origins[origins["model"].isin(list(NAMES))].groupby("model", sort=False):
        errors = rows["mse"].rolling(min(pred_len, len(rows)), center=True, min_periods=1).median()
        figure.add_scatter(
            x=rows["window_end"].astype(str).tolist(),
            y=errors.round(6).tolist(),
            name=NAMES[str(name)],
            line={"color": COLORS[str(name)], "width": 2.5 if name == "timellm" else 1.5},
        )
    figure.update_yaxes(type="log")
    return styled(figure, "Error by origin of the forecast", "last input row (origin)", "MSE (scaled units, log scale)")
