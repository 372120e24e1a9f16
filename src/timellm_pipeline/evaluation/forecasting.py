"""Errors of a model on the windows of a split."""

from collections.abc import Callable

from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.windows import Windows


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
