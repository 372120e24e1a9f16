"""Forecast every window of a split, once each, in order."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from tqdm.auto import tqdm

from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.model.batches import BatchMaker, in_order, load_batches
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.intervals import MOST_WINDOWS, HalfWidths, half_widths, too_few
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters.forecast import LEVELS
from timellm_pipeline.series.windows import Windows

log = logging.getLogger(__name__)


def forecast_windows(
    model: TimeLLM, windows: Windows, batch_size: int, compute: Compute, what: str
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(window numbers, forecasts, truths) batch by batch, in scaled units. The model is put into eval mode."""
    model.eval()
    loader = load_batches(BatchMaker(windows, model.writer), in_order(len(windows), batch_size))
    bar = tqdm(total=len(windows), desc=what, unit="window", leave=False, disable=None)
    with bar, torch.no_grad(), compute.autocast():
        for batch in loader:
            there = batch.to(compute.device)
            yield batch.which, model(there.x, there.prompts).float().cpu().numpy(), batch.y.numpy()
            bar.update(len(batch.which))


def calibrate(model: TimeLLM, validation: Windows, batch_size: int, compute: Compute) -> HalfWidths:
    """Half-widths of the model's prediction intervals, from its errors on validation windows (at most 20,000)."""
    every = -(-len(validation) // MOST_WINDOWS)
    some = replace(validation, channel=validation.channel[::every], start=validation.start[::every])
    errors = np.empty((len(some), some.pred_len), dtype=np.float32)
    for which, forecast, truth in forecast_windows(model, some, batch_size, compute, "intervals"):
        errors[which] = forecast - truth
    fewest = int(np.unique(some.channel, return_counts=True)[1].min())
    log.info("prediction intervals from the errors of %s validation windows", f"{len(some):,}")
    unsure = [level for level in LEVELS if too_few(fewest, level)]
    if unsure:
        log.warning("%s windows a channel are too few for intervals of %s %%: they may be too narrow", fewest, unsure)
    return half_widths(errors, some.channel, len(some.names))


def score_model(
    model: TimeLLM,
    windows: Windows,
    batch_size: int,
    compute: Compute,
    what: str,
    between: Callable[[], None] = lambda: None,
) -> ErrorSums:
    """Errors over every window; `between` is called after each batch and may raise to stop."""
    sums = ErrorSums(len(windows.names), windows.pred_len)
    for which, forecast, truth in forecast_windows(model, windows, batch_size, compute, what):
        sums.add(forecast, truth, windows.channel[which])
        between()
    return sums
