"""Prediction intervals of a trained model, from errors of forecasts that did not see their windows.

Validation errors come first: validation is nearest to the future, and its errors are computed with a weight of the
correction that the window did not choose. A validation range of a few horizons says little about the tails, however
many windows overlap in it. The forecast is the linear part there (the correction needs more to be accepted), so the
errors of training windows are added, each forecast by a fit without its block.

Source: Barber et al. 2021, "Predictive Inference with the Jackknife+" (CV+), without its guarantee: a time series is
not exchangeable.
"""

import logging

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.evaluation.significance import MIN_BLOCKS
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.linear.residuals import Residuals
from timellm_pipeline.model.intervals import MOST_WINDOWS, Intervals, half_widths, too_few
from timellm_pipeline.parameters.forecast import LEVELS
from timellm_pipeline.series.windows import Windows

log = logging.getLogger(__name__)


def calibrate(
    errors: Float[np.ndarray, "sample pred_len"],
    sample: Int[np.ndarray, "sample"],
    validation: Windows,
    train: Windows,
    linear: LinearPart,
) -> Intervals:
    """Prediction intervals from validation errors; if these are too few, from cross-fitted training errors as well.

    Args:
        errors: validation errors in scaled units, with a weight of the correction that was chosen without the window.
        sample: numbers of their windows.
        validation, train: windows of both splits.
        linear: the linear part. Training errors are those of its fits without a block, if it has any.
    """
    # MIN_BLOCKS: a validation range that accepts a correction is never too short.
    channel, horizons = validation.channel(sample), validation.num_horizons
    basis = f"{len(validation):,} validation windows ({horizons:,} horizons)"
    if horizons < MIN_BLOCKS and len(linear.fold_maps):
        train = train.of_series(np.unique(channel).tolist())
        which = np.arange(0, len(train), -(-len(train) // MOST_WINDOWS))
        errors = np.concatenate([errors, Residuals(train, linear).gather(which)[1]])
        channel = np.concatenate([channel, train.channel(which)])
        horizons += train.num_horizons
        basis += f" and {len(which):,} training windows, forecast by fits without their block ({train.num_horizons:,})"
    fewest = int(np.unique(channel, return_counts=True)[1].min())
    unreliable = [f"{level} %" for level in LEVELS if too_few(fewest, level)]
    problem = ""
    if horizons < MIN_BLOCKS:
        problem = f". Too few: the intervals may be too narrow, they need {MIN_BLOCKS} horizons"
    elif unreliable:
        problem = f". Too few for {', '.join(unreliable)}: those intervals may be too narrow"
    text = f"prediction intervals from the errors of {basis}{problem}"
    log.log(logging.WARNING if problem else logging.INFO, "%s", text)
    return Intervals(half_widths(errors, channel, len(validation.names)), text)
