"""One look for all pictures."""

import html

import plotly.graph_objects as go

# Seen on white and on the dark ground of kedro-viz alike.
COLORS = {
    "Time-LLM": "#d1495b",
    "timellm": "#d1495b",
    "seasonal naive": "#8d96a3",
    "seasonal_naive": "#8d96a3",
    "naive": "#c9ced6",
    "linear": "#2e6f95",
    "truth": "#3a9d6e",
    "seen": "#8a94a0",
}
NAMES = {
    "timellm": "Time-LLM",
    "seasonal_naive": "seasonal naive",
    "naive": "naive",
    "linear": "linear (ridge)",
}


def plain(name: str) -> str:
    """A name from a file as plotly shows it literally: plotly reads `<b>` and `<a href=…>` in text."""
    return html.escape(name, quote=False)


def styled(figure: go.Figure, title: str, x_title: str | None, y_title: str | None) -> go.Figure:
    """Titles, white ground, legend above."""
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
