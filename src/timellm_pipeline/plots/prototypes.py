"""Heat map of the attention from patches to prototypes."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from timellm_pipeline.plots.style import plain, styled


def plot_prototypes(table: pd.DataFrame, attention: np.ndarray) -> go.Figure:
    """Heat map of the attention of each patch position to the prototypes of the table.

    Args:
        table: table of `read_prototypes`.
        attention: [prototypes of the table, patches].
    """
    nearest = table["words"].str.extract(r"^(.*?) \(-?\d\.\d\d\)", expand=False)
    labels = (table["prototype"].astype(str) + ": " + nearest.map(plain)).tolist()
    figure = go.Figure(
        go.Heatmap(
            z=np.round(attention, 5).tolist(),
            x=list(range(1, attention.shape[1] + 1)),
            y=labels,
            colorscale="Reds",
            colorbar={"title": "share"},
            hovertemplate="patch %{x}, prototype %{y}: %{z:.2%}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure = styled(figure, "Which prototypes patches attend to, with the nearest word", "patch of the window", None)
    return figure.update_layout(height=160 + 22 * len(labels), hovermode="closest", margin={"l": 170})
