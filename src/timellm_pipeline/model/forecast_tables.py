"""Forecasts of the values after the last rows of series, as tables. Does not import torch."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from timellm_pipeline.model.future import forecast_table, select_windows
from timellm_pipeline.model.parts import Outputs, forecast_parts
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.series.panel import Panel

WINDOWS_AT_ONCE = 10_000  # in one part of a forecast table: bounds memory


def forecast_tables(
    saved: SavedModel, outputs: Outputs | None, panel: Panel, origins: int, levels: Iterable[int], batch_size: int
) -> Iterator[pd.DataFrame]:
    """Iterator over parts of the table of `TimeLLM.forecast_panel`, with at most about 10,000 windows each.

    Args:
        saved: the model folder.
        outputs: outputs of its network; None if alpha is 0.
        panel: validated series in original units.
        origins: number of forecasts of each series.
        levels: levels of the prediction intervals in percent.
        batch_size: windows per batch.

    Raises SeriesError if the model cannot forecast the series.
    """
    levels, alpha = tuple(levels), 0.0 if outputs is None else saved.config.alpha
    selected = select_windows(panel, saved, origins)
    forecasts: list[np.ndarray] = []
    first = 0
    for parts in forecast_parts(saved.linear(), outputs, selected.windows, batch_size):
        forecasts.append(parts.forecast(alpha).astype(np.float64))
        end = int(parts.which[-1]) + 1
        if end - first >= WINDOWS_AT_ONCE or end == len(selected.inputs):
            yield forecast_table(selected.part(slice(first, end)), np.concatenate(forecasts), saved, levels)
            first, forecasts = end, []
