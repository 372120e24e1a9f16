"""Forecasts of windows as a linear part and a correction, batch by batch. Does not import torch."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from tqdm.auto import tqdm

from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.linear.remainder import Remainder
from timellm_pipeline.model.array_windows import in_order
from timellm_pipeline.series.sources import SeriesWindows
from timellm_pipeline.workers.group import WorkerGroup


@dataclass(frozen=True)
class Parts:
    """Forecasts of a batch, in scaled units.

    Attributes:
        which: window numbers.
        linear: linear forecasts.
        correction: output of the network; None if it was not run.
        truth: targets.
    """

    which: Int[np.ndarray, "batch"]
    linear: Float[np.ndarray, "batch pred_len"]
    correction: Float[np.ndarray, "batch pred_len"] | None
    truth: Float[np.ndarray, "batch horizon"]

    def forecast(self, alpha: float) -> Float[np.ndarray, "batch pred_len"]:
        """The linear forecast plus `alpha` times the correction, in float32."""
        if self.correction is None or alpha == 0:
            return self.linear.astype(np.float32)
        return (self.linear + alpha * self.correction).astype(np.float32)


# Outputs of a network for windows, in batches of a size, in index order.
Outputs = Callable[[Remainder, int], Iterator[np.ndarray]]


def forecast_parts(
    linear: LinearPart,
    outputs: Outputs | None,
    windows: SeriesWindows,
    batch_size: int,
    label: str = "forecasts",
) -> Iterator[Parts]:
    """Iterator over the parts of the forecasts of each batch.

    Args:
        linear: the linear part.
        outputs: outputs of the network; None: only the linear part.
        windows: windows to forecast.
        batch_size: windows per batch; the last batch may be short.
        label: label of the progress bar.
    """
    series, remainder = linear.numbers(windows.names), Remainder(windows, linear.effects)
    is_shown = WorkerGroup.current().is_first
    with tqdm(total=len(windows), desc=label, unit="window", leave=False, disable=None if is_shown else True) as bar:
        corrections = itertools.repeat(None) if outputs is None else outputs(remainder, batch_size)
        for which, correction in zip(in_order(len(windows), batch_size), corrections):
            x, y = remainder.gather(which)
            forecast = linear.forecast(x, series[windows.channel(which)])
            if linear.effects is not None:
                effect = remainder.future(which, x.shape[1])
                forecast, y = forecast + effect, (y + effect[:, : y.shape[1]]).astype(np.float32)
            bar.update(len(which))
            yield Parts(which, forecast, correction, y)


def linear_forecasts(
    linear: LinearPart, windows: SeriesWindows, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """As `Forecaster.forecast_windows`, for a model whose alpha is 0."""
    for parts in forecast_parts(linear, None, windows, batch_size):
        yield parts.which, parts.forecast(0.0), parts.truth
