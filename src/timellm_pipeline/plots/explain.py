"""Figures that explain a training run before it starts: splits, windows, batches, epochs. Needs no torch."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from timellm_pipeline.durations import format_duration
from timellm_pipeline.parameters import ModelParams
from timellm_pipeline.plots.style import COLORS, plain, styled
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.plan import RunPlan

RANGE_COLORS = {"train": "#2e6f95", "validation": "#e09f3e", "test": "#d1495b"}
MOST_POINTS = 4_000  # limit of plotted points of a series
MOST_MARKS = 200  # limit of plotted checkpoints


def draw_borders(series: Panel, borders: Borders, channel: str) -> go.Figure:
    """Figure of one channel with the ranges of the splits. The lookback of validation and test is darker."""
    stride = max(1, series.num_rows // MOST_POINTS)
    figure = go.Figure()
    dates = series.stamps.astype(str)
    line = {"color": COLORS["input"], "width": 1}
    number = series.number_of[channel]
    values, begin = series.series(number), int(series.first[number])
    own_dates = dates[begin : begin + len(values)]
    figure.add_scatter(x=own_dates[::stride].tolist(), y=values[::stride].tolist(), line=line, name=plain(channel))
    for name, color in RANGE_COLORS.items():
        first, last = getattr(borders, name)
        own = first if name == "train" else getattr(borders, "train" if name == "validation" else "validation")[1]
        if name == "validation":
            own = max(own, first)
        _band(figure, dates, own, last, color, 0.16, f"{name}: rows {own:,} to {last - 1:,}")
        if own > first:
            _band(figure, dates, first, own, color, 0.32, None)
    figure.update_xaxes(range=[dates[0], dates[-1]])
    title = f"{borders.num_rows:,} rows; darker: lookback of the first validation and test windows"
    return styled(figure, title, None, f"{plain(channel)} (original units)")


def draw_window(series: Panel, borders: Borders, plan: RunPlan, channel: str) -> go.Figure:
    """Figure of the first training window with its patches. The last patch contains the repeated last value."""
    first = borders.train[0]
    values = series.series(series.number_of[channel])[first : first + plan.seq_len + plan.pred_len]
    seen, truth = values[: plan.seq_len], values[plan.seq_len :]
    tail = np.repeat(seen[-1], plan.stride)
    figure = go.Figure()
    figure.add_scatter(x=list(range(plan.seq_len)), y=seen.tolist(), name="input: seq_len", line_color=COLORS["input"])
    figure.add_scatter(
        x=list(range(plan.seq_len, plan.seq_len + plan.stride)),
        y=tail.tolist(),
        name="the last value, repeated stride times",
        mode="lines",
        line={"color": COLORS["input"], "dash": "dot"},
    )
    figure.add_scatter(
        x=list(range(plan.seq_len, plan.seq_len + plan.pred_len)),
        y=truth.tolist(),
        name="to be forecast: pred_len",
        line_color="#d1495b",
    )
    low, high = float(values.min()), float(values.max())
    step = (high - low or 1.0) / 12
    for number in range(plan.patches_per_window):
        begin = number * plan.stride
        level = low - step * (1.5 + number % (-(-plan.patch_len // plan.stride) + 1))
        figure.add_scatter(
            x=[begin, begin + plan.patch_len - 1],
            y=[level, level],
            mode="lines",
            line={"color": "#2e6f95", "width": 5},
            name="patches of patch_len points, stride apart",
            legendgroup="patches",
            showlegend=number == 0,
            hovertemplate=f"patch {number + 1}: points {begin} to {begin + plan.patch_len - 1}<extra></extra>",
        )
    figure.add_vline(x=plan.seq_len - 0.5, line={"color": "#8d96a3", "dash": "dash"})
    title = (
        f"One window = one sample: {plan.seq_len} points in, {plan.pred_len} out, {plan.patches_per_window} patches = "
        f"({plan.seq_len} - {plan.patch_len}) // {plan.stride} + 2"
    )
    figure = styled(figure, title, f"row of the window (starts at row {first} of channel {plain(channel)})", None)
    return figure.update_layout(hovermode="closest")


def draw_batch(plan: RunPlan, model: ModelParams) -> go.Figure:
    """Diagram of one step, from training windows to forecasts, with the shapes of this configuration."""
    patches = f"[{plan.batch_size}, {plan.patches_per_window}"
    boxes = [
        ("training windows", f"{plan.train_windows:,}", "all of them, in a new order each epoch: windows are shuffled"),
        ("one batch", f"[{plan.batch_size}, {plan.seq_len}]", "training.batch_size windows of seq_len points"),
        ("patches", f"{patches}, {plan.patch_len}]", "in order; patches are never shuffled"),
        ("embedded patches", f"{patches}, {model.d_model}]", "model.d_model"),
        ("reprogrammed", f"{patches}, width]", f"mixed from {model.num_prototypes} prototypes, width of the backbone"),
        ("backbone", f"[{plan.batch_size}, prompt + {plan.patches_per_window}, width]", "tokens: prompt, then patches"),
        ("head", f"[{plan.batch_size}, {model.d_ff * plan.patches_per_window}]", "d_ff units of each patch, flattened"),
        ("forecast", f"[{plan.batch_size}, {plan.pred_len}]", "pred_len points of each window"),
    ]
    figure = go.Figure()
    for number, (name, shape, note) in enumerate(boxes):
        y = -number
        color = COLORS["timellm"] if name == "forecast" else COLORS["linear"]
        figure.add_shape(
            type="rect", x0=0, x1=4, y0=y - 0.34, y1=y + 0.34, line={"color": color}, fillcolor="rgba(46,111,149,.07)"
        )
        figure.add_annotation(x=2, y=y, text=f"<b>{name}</b>  {shape}", showarrow=False, font={"size": 14})
        figure.add_annotation(x=4.2, y=y, text=note, showarrow=False, xanchor="left", font={"color": COLORS["input"]})
        if number:
            figure.add_annotation(
                x=2, y=y + 0.36, ax=2, ay=y + 0.64, axref="x", ayref="y", text="", arrowhead=2, arrowcolor="#8d96a3"
            )
    figure.update_xaxes(visible=False, range=[-0.2, 9.5])
    figure.update_yaxes(visible=False, range=[-len(boxes) + 0.4, 0.6])
    figure = styled(figure, f"One step = one iteration = one batch of {plan.batch_size} windows", None, None)
    return figure.update_layout(height=620)


def draw_epoch(plan: RunPlan, seconds_per_step: float) -> go.Figure:
    """Figure of the steps of an epoch with its checkpoints and validations.

    Args:
        plan: the run plan.
        seconds_per_step: duration of a step, for the times in the title.
    """
    saves = _multiples(plan.save_steps, plan.steps_per_epoch)
    validations = _multiples(plan.validate_steps, plan.steps_per_epoch)
    if plan.max_steps <= plan.steps_per_epoch and plan.max_steps not in validations:
        validations.append(plan.max_steps)  # training always ends with a validation
    figure = go.Figure()
    line = {"color": COLORS["input"], "width": 3}
    figure.add_shape(type="line", x0=0, x1=plan.steps_per_epoch, y0=0, y1=0, line=line)
    for steps, name, color, symbol, y in (
        (saves, f"checkpoint every {plan.save_steps:,} steps (training.save_steps)", "#2e6f95", "diamond", 0.25),
        (validations, f"validation every {plan.validate_steps:,} steps", "#e09f3e", "circle", -0.25),
    ):
        figure.add_scatter(
            x=steps,
            y=[y] * len(steps),
            mode="markers",
            name=name,
            marker={"color": color, "symbol": symbol, "size": 10},
            hovertemplate="step %{x:,}<extra></extra>",
        )
    if plan.max_steps < plan.steps_per_epoch:
        figure.add_vline(x=plan.max_steps, line={"color": "#d1495b"}, annotation_text=f"max_steps {plan.max_steps:,}")
    epoch, save = (format_duration(steps * seconds_per_step) for steps in (plan.steps_per_epoch, plan.save_steps))
    title = (
        f"An epoch: {plan.steps_per_epoch:,} steps = {plan.train_windows:,} windows // {plan.batch_size}; at "
        f"{seconds_per_step:g} s/it {epoch}, a checkpoint every {save}"
    )
    figure.update_yaxes(visible=False, range=[-1, 1])
    return styled(figure, title, "step of the first epoch", None).update_layout(height=320, hovermode="closest")


def _multiples(interval: int, last: int) -> list[int]:
    steps = list(range(interval, last + 1, interval))
    return steps[:: max(1, len(steps) // MOST_MARKS)]


def _band(
    figure: go.Figure, dates: pd.Index, first: int, last: int, color: str, opacity: float, label: str | None
) -> None:
    x0, x1 = dates[first], dates[last - 1]
    figure.add_vrect(x0=x0, x1=x1, fillcolor=color, opacity=opacity, line_width=0)
    if label:  # at different heights, as the last two ranges may be narrow
        level = 1.0 - 0.05 * list(RANGE_COLORS).index(label.split(":")[0])
        figure.add_annotation(x=x0, y=level, yref="paper", text=label, showarrow=False, xanchor="left", yanchor="top")
