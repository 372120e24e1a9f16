"""A few windows of the test with their forecasts, in original units, for a plot.

They are chosen after the test, because the worst series is unknown before, and forecast again: a forecast depends on
its window alone, up to the last digits of sums in another batch.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from timellm_pipeline.errors import shown
from timellm_pipeline.evaluation.baselines import Forecast
from timellm_pipeline.evaluation.by_series import FEW, ranked_series
from timellm_pipeline.model.array_windows import ArrayWindows
from timellm_pipeline.model.inference import Forecaster
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import Windows

NUM_EXAMPLES = 4


@dataclass(frozen=True)
class Example:
    """One test window with its forecasts, in original units, for a plot.

    Attributes:
        channel: id of the series.
        title: which of many series it is and its error, such as `worst: store_12 (MASE 2.31)`; empty for few series.
        input_dates: time stamps of `seen`.
        horizon_dates: time stamps of `truth` and the forecasts.
        seen: [seq_len], input.
        truth: [pred_len], true values.
        forecasts: [pred_len] of `forecast` and `seasonal naive`.
    """

    channel: str
    title: str
    input_dates: pd.DatetimeIndex
    horizon_dates: pd.DatetimeIndex
    seen: np.ndarray
    truth: np.ndarray
    forecasts: dict[str, np.ndarray]


def make_examples(
    model: Forecaster,
    test: Windows,
    scaler: Scaler,
    seasonal: Forecast,
    table: pd.DataFrame,
    target: str,
    batch_size: int,
) -> list[Example]:
    """Examples of the test: windows of the target, or of the worst, the median and the best of many series.

    Args:
        model: forecasts the windows.
        test: the test windows.
        scaler: their scaler.
        seasonal: seasonal naive.
        table: errors by series, see `series_table`.
        target: id of the target.
        batch_size: windows per batch.
    """
    chosen = _of_many(test, table) if len(table) > FEW else dict.fromkeys(_of_target(test, target), "")
    which = np.array(list(chosen))
    channel, split = test.channel(which), test.origin(which) + 1
    names = [test.names[number] for number in channel]
    x, y = test.gather(which)
    scaled = (x, y, model.forecast_all(ArrayWindows.chosen(test, which), batch_size), seasonal(x))
    seen, truth, forecast, naive = (scaler.unscale(values, channel) for values in scaled)
    stamps = test.panel.stamps
    return [
        Example(
            channel=names[row],
            title=title,
            input_dates=stamps[split[row] - test.seq_len : split[row]],
            horizon_dates=stamps[split[row] : split[row] + test.pred_len],
            seen=seen[row],
            truth=truth[row],
            forecasts={"forecast": forecast[row], "seasonal naive": naive[row]},
        )
        for row, title in enumerate(chosen.values())
    ]


def _of_target(test: Windows, target: str) -> list[int]:
    """Numbers of a few windows of the target, if it has any, evenly distributed over the test."""
    of_target = test.segments.numbers_of(test.panel.number_of.get(target, -1))  # a long table may have no target
    numbers = of_target if len(of_target) else np.arange(len(test))  # gaps may exclude all windows of the target
    positions = np.linspace(0, len(numbers) - 1, min(NUM_EXAMPLES, len(numbers))).round().astype(int)
    return [int(numbers[position]) for position in positions]


def _of_many(test: Windows, table: pd.DataFrame) -> dict[int, str]:
    """Number and title of the last window of the worst, the median and the best series."""
    ranked = ranked_series(table)
    chosen = {}
    for role, row in {"worst": 0, "median": len(ranked) // 2, "best": len(ranked) - 1}.items():
        series = ranked.iloc[row]
        error = f"MSE {series['mse']:.3g}" if pd.isna(series["mase"]) else f"MASE {series['mase']:.3g}"
        last = test.segments.numbers_of(test.panel.number_of[series["channel"]])[-1]
        chosen[int(last)] = f"{role}: {shown(series['channel'], 60)} ({error})"
    return chosen
