"""Forecasts of the values after the last rows of series, as tables. Does not import torch."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd

from timellm_pipeline.model.future import forecast_table, select_windows
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.sources import SeriesWindows

WINDOWS_AT_ONCE = 10_000  # in one part of a forecast table: bounds memory

# Window numbers, forecasts and targets of windows, in batches of a size, in index order, in scaled units.
Forecasts = Callable[[SeriesWindows, int], Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]]


def forecast_tables(
    saved: SavedModel, forecasts: Forecasts, panel: Panel, origins: int, levels: Iterable[int], batch_size: int
) -> Iterator[pd.DataFrame]:
    """Iterator over parts of the table of `TimeLLM.forecast_panel`, with at most about 10,000 windows each.

    Args:
        saved: the model folder.
        forecasts: forecasts windows with the model.
        panel: validated series in original units.
        origins: number of forecasts of each series.
        levels: levels of the prediction intervals in percent.
        batch_size: windows per batch.

    Raises SeriesError if the model cannot forecast the series.
    """
    levels, selected = tuple(levels), select_windows(panel, saved, origins)
    batches: list[np.ndarray] = []
    first = 0
    for which, forecast, _ in forecasts(selected.windows, batch_size):
        batches.append(forecast.astype(np.float64))
        end = int(which[-1]) + 1
        if end - first >= WINDOWS_AT_ONCE or end == len(selected.inputs):
            yield forecast_table(selected.part(slice(first, end)), np.concatenate(batches), saved, levels)
            first, batches = end, []
