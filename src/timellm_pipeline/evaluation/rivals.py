"""Two models on the same windows in one scale, whatever scaler each was trained with."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.forecasting import forecast_windows
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import Windows


@dataclass(frozen=True)
class Scored:
    """One model's test: its sums, and every forecast in the common scale, [windows, pred_len]."""

    scores: TestScores
    forecasts: np.ndarray


def score_in_scale(
    saved: SavedModel,
    model: TimeLLM,
    compute: Compute,
    series: pd.DataFrame,
    test: Windows,
    scaler: Scaler,
    batch_size: int,
) -> Scored:
    """Score a model on test windows that are given in another model's scale.

    Args:
        series: the series in original units; the model sees it through its own scaler.
        test: the windows to be scored, scaled by `scaler`.
        scaler: the common scale, in which errors are measured.

    Raises ModelError for other channels or another horizon.
    """
    own = saved.scaler
    if own.channels != scaler.channels or saved.config.window.pred_len != test.pred_len:
        raise ModelError(
            f"forecasts {saved.config.window.pred_len} rows of {own.channels}; "
            f"the windows have {test.pred_len} rows of {scaler.channels}",
            where=str(saved.folder),
            do="compare models of one horizon and the same channels",
        )
    values = own.scale(series[own.channels].to_numpy(dtype=np.float64)).astype(np.float32).T
    shift = test.seq_len - saved.config.window.seq_len  # a window of another length ends at the same row
    seen = replace(
        test, values=np.ascontiguousarray(values), start=test.start + shift, seq_len=saved.config.window.seq_len
    )
    if (seen.start < 0).any():
        raise ModelError(
            f"sees {saved.config.window.seq_len} rows, more than there are before the first test window",
            where=str(saved.folder),
            do="give a longer series",
        )
    scores = TestScores(test, scaler)
    forecasts = np.empty((len(test), test.pred_len), dtype=np.float32)
    std, mean = np.asarray(scaler.std), np.asarray(scaler.mean)
    for which, forecast, _ in forecast_windows(model, seen, batch_size, compute, "test"):
        channel = test.channel[which]
        common = (own.unscale(forecast.astype(np.float64), channel) - mean[channel, None]) / std[channel, None]
        forecasts[which] = common
        scores.add(which, forecasts[which], test.gather(which)[1])
    return Scored(scores, forecasts)
