"""Prediction intervals from the errors of windows that the model was not trained on (split conformal prediction).

The half-width of an interval at a level is the quantile of the absolute validation errors there, for each channel and
horizon step by itself, with the finite-sample rank ceil((n + 1) * level). Validation chose the model and its windows
overlap, so coverage is not guaranteed as for independent ones: the test reports what it is.

Source: Vovk et al. 2005; Lei et al. 2018, "Distribution-Free Predictive Inference for Regression".
"""

import math

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.parameters.forecast import LEVELS

MOST_WINDOWS = 20_000  # validation windows that are looked at: bounds memory and time

HalfWidths = Float[np.ndarray, "levels channels pred_len"]  # scaled units, levels in the order of LEVELS


def half_widths(
    errors: Float[np.ndarray, "windows pred_len"], channel: Int[np.ndarray, "windows"], num_channels: int
) -> HalfWidths:
    """Half-widths in scaled units from signed or absolute errors; NaN for channels without a window.

    Where there are too few windows for a level, the largest error stands in.
    """
    widths = np.full((len(LEVELS), num_channels, errors.shape[1]), np.nan, dtype=np.float32)
    for number in np.unique(channel):
        ordered = np.sort(np.abs(errors[channel == number]), axis=0)
        count = len(ordered)
        for row, level in enumerate(LEVELS):
            rank = min(math.ceil((count + 1) * level / 100), count)
            widths[row, number] = ordered[rank - 1]
    return widths


def too_few(num_windows: int, level: int) -> bool:
    """Whether so many windows cannot tell that level's half-width."""
    return math.ceil((num_windows + 1) * level / 100) > num_windows


def widths_at(widths: HalfWidths, level: int) -> Float[np.ndarray, "channels pred_len"]:
    """The half-widths of one level."""
    of_level: np.ndarray = widths[LEVELS.index(level)]
    return of_level
