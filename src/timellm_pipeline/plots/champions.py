"""Figure of the champions over time: live errors, coverage of the prediction intervals, and decisions."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from timellm_pipeline.plots.style import COLORS, NAMES, styled

DECISIONS = {  # color and symbol
    "promoted": ("#3a9d6e", "triangle-up"),
    "rolled back": ("#e0a030", "triangle-down"),
    "refused": ("#d1495b", "x"),
    "refused before training": ("#8a94a0", "square"),
}
LEVELS = {"80": "#8b5fbf", "95": "#5b6470"}
TICKS = [round(digit * 10.0**power, 5) for power in range(-4, 4) for digit in (1, 2, 5)]  # plotly writes 0.2 as 2
CHAMPIONS = ("#2e6f95", "#d1495b", "#3a9d6e", "#e0a030")


def plot_champions(live: pd.DataFrame, decisions: pd.DataFrame) -> go.Figure:
    """Figure with three plots on one time axis, the newest row of the data at each decision.

    Args:
        live: one row for each scored champion: `newest_row, champion, period` (a number for each time of a champion),
            `mse, seasonal_naive` (in scaled units of the champion), `inside_80, inside_95` (shares of true values).
        decisions: `newest_row, kind`, a key of `DECISIONS`.
    """
    titles = ("error of the champion after its promotion", "true values inside its intervals", "decisions")
    figure = make_subplots(
        rows=3, shared_xaxes=True, vertical_spacing=0.09, row_heights=[0.45, 0.33, 0.22], subplot_titles=titles
    )
    naive = {"x": live["newest_row"].tolist(), "y": live["seasonal_naive"].tolist(), "name": NAMES["seasonal_naive"]}
    figure.add_scatter(**naive, line_color=COLORS["seasonal_naive"], row=1, col=1)
    for number, (_, part) in enumerate(live.groupby("period", sort=False)):
        color, champion = CHAMPIONS[number % len(CHAMPIONS)], str(part["champion"].iloc[0])
        line = {"x": part["newest_row"].tolist(), "y": part["mse"].tolist(), "mode": "lines+markers"}
        figure.add_scatter(**line, name=champion[:16], line_color=color, showlegend=False, row=1, col=1)
    for level, color in LEVELS.items():
        known = live.dropna(subset=f"inside_{level}")
        line = {"x": known["newest_row"].tolist(), "y": known[f"inside_{level}"].tolist(), "mode": "lines+markers"}
        figure.add_scatter(**line, name=f"{level} % interval", line_color=color, row=2, col=1)
        figure.add_hline(y=int(level) / 100, line={"color": color, "dash": "dot", "width": 1}, row=2, col=1)
    for kind, (color, symbol) in DECISIONS.items():
        rows = decisions[decisions["kind"] == kind]["newest_row"].tolist()
        marker = {"color": color, "symbol": symbol, "size": 11}
        figure.add_scatter(
            x=rows, y=[kind] * len(rows), mode="markers", marker=marker, showlegend=False, name=kind, row=3, col=1
        )
    figure.update_yaxes(title_text="MSE (scaled units, log)", type="log", tickvals=TICKS, row=1, col=1)
    figure.update_yaxes(tickformat=".0%", row=2, col=1)
    figure.update_yaxes(categoryorder="array", categoryarray=list(reversed(DECISIONS)), row=3, col=1)
    figure.update_layout(height=760)
    figure = styled(figure, "", None, None)
    figure.update_xaxes(title_text="newest row of the data", row=3, col=1)
    return figure.update_layout(hovermode="closest", legend={"y": 1.06})
