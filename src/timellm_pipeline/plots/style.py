"""Common style of all figures."""

import html

import plotly.graph_objects as go

# Visible on a white background and on the dark background of kedro-viz.
COLORS = {
    "forecast": "#d1495b",
    "timellm": "#d1495b",
    "seasonal naive": "#8d96a3",
    "seasonal_naive": "#8d96a3",
    "naive": "#c9ced6",
    "linear": "#2e6f95",
    "linear_part": "#e0a030",
    "true values": "#3a9d6e",
    "input": "#8a94a0",
}
NAMES = {
    "timellm": "shipped forecast",
    "seasonal_naive": "seasonal naive",
    "naive": "naive",
    "linear": "linear (ridge)",
    "linear_part": "linear part",
}


def plain(name: str) -> str:
    """Name from a file, escaped so that plotly shows it literally: plotly interprets `<b>` and `<a href=…>`."""
    return html.escape(name, quote=False)


def styled(figure: go.Figure, title: str, x_title: str | None, y_title: str | None) -> go.Figure:
    """The figure with titles, white background, and legend at the top."""
    figure.update_layout(
        title={"text": title, "yref": "paper", "y": 1, "yanchor": "bottom", "pad": {"b": 36}},
        template="plotly_white",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1, "x": 0},
        margin={"l": 70, "r": 30, "t": 90, "b": 60},
        hovermode="x unified",
    )
    if x_title:
        figure.update_xaxes(title_text=x_title)
    if y_title:
        figure.update_yaxes(title_text=y_title)
    return figure
