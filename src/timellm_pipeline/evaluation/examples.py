"""A few windows of the test with their forecasts, in original units, for a plot."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from timellm_pipeline.evaluation.baselines import Forecast
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import Windows

NUM_EXAMPLES = 4


@dataclass(frozen=True)
class Example:
    """One window of the target with its forecasts, in original units, for a plot."""

    channel: str
    input_dates: pd.DatetimeIndex
    horizon_dates: pd.DatetimeIndex
    seen: np.ndarray
    truth: np.ndarray
    forecasts: dict[str, np.ndarray]


def example_windows(test: Windows, target: str) -> list[int]:
    """Numbers of a few windows of the target, if it has any, evenly distributed over the test."""
    of_target = test.segments.numbers_of(test.panel.number_of.get(target, -1))  # a long table may have no target
    numbers = of_target if len(of_target) else np.arange(len(test))  # gaps may exclude all windows of the target
    positions = np.linspace(0, len(numbers) - 1, min(NUM_EXAMPLES, len(numbers))).round().astype(int)
    return [int(numbers[position]) for position in positions]


def example_of(number: int, forecast: np.ndarray, seasonal: Forecast, test: Windows, scaler: Scaler) -> Example:
    """The example of one test window.

    Args:
        number: number of the window.
        forecast: [pred_len] in scaled units.
        seasonal: seasonal naive.
        test: the test windows.
        scaler: their scaler.
    """
    which = np.array([number])
    channel, split = test.channel(which), int(test.origin(which)[0]) + 1
    x, y = test.gather(which)
    dates = test.panel.stamps
    return Example(
        channel=test.names[int(channel[0])],
        input_dates=dates[split - test.seq_len : split],
        horizon_dates=dates[split : split + test.pred_len],
        seen=scaler.unscale(x, channel)[0],
        truth=scaler.unscale(y, channel)[0],
        forecasts={
            "forecast": scaler.unscale(forecast[None], channel)[0],
            "seasonal naive": scaler.unscale(seasonal(x), channel)[0],
        },
    )
