"""Errors and prediction intervals of a model on the windows of a split."""

import logging
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.model.intervals import HalfWidths, half_widths, too_few
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters.forecast import LEVELS
from timellm_pipeline.series.windows import Windows

log = logging.getLogger(__name__)


def calibrate(
    errors: Float[np.ndarray, "windows pred_len"], channel: Int[np.ndarray, "windows"], num_channels: int
) -> HalfWidths:
    """Half-widths of the prediction intervals in scaled units, from errors on validation windows.

    Args:
        errors: errors of windows that chose neither the model nor the weight of its correction where possible.
        channel: channel index of each window.
        num_channels: number of channels.
    """
    fewest = int(np.unique(channel, return_counts=True)[1].min())
    log.info("computed prediction intervals from the errors of %s validation windows", f"{len(errors):,}")
    unreliable = [level for level in LEVELS if too_few(fewest, level)]
    if unreliable:
        log.warning(
            "%s windows per channel are too few for intervals of %s %%: they may be too narrow", fewest, unreliable
        )
    return half_widths(errors, channel, num_channels)


def score_model(
    model: TimeLLM, windows: Windows, batch_size: int, label: str, between: Callable[[], None] = lambda: None
) -> ErrorSums:
    """Error sums of a model over all windows, in scaled units.

    Args:
        label: label of the progress bar.
        between: called after each batch; may raise an exception to stop.
    """
    sums = ErrorSums(len(windows.names), windows.pred_len)
    for which, forecast, truth in model.forecast_windows(windows, batch_size, label=label):
        sums.add(forecast, truth, windows.channel(which))
        between()
    return sums
