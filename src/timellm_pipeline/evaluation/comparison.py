"""Score models on the same windows in a common scale, independent of the scaler of each model."""

from dataclasses import dataclass, replace

import numpy as np

from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.baselines import CHUNK
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.model.array_windows import in_order
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.scaling import Scaler, scale_panel
from timellm_pipeline.series.windows import Windows


@dataclass(frozen=True)
class Scored:
    """Test result of one model.

    Attributes:
        scores: error sums.
        forecasts: [windows, pred_len] in the common scale.
    """

    scores: TestScores
    forecasts: np.ndarray

    def of_series(self, test: Windows) -> "Scored":
        """The result on the windows of some series.

        Args:
            test: their windows, in the same scale and order (`WindowData.of_series`).
        """
        every = self.scores.test
        if test.names == every.names:
            return self
        chosen = [every.panel.number_of[name] for name in test.names]
        numbers = np.flatnonzero(np.isin(every.channel(np.arange(len(every))), chosen))
        scores = TestScores(test, self.scores.scaler.select(test.names))
        for which in in_order(len(test), CHUNK):
            scores.add(which, self.forecasts[numbers[which]], test.gather(which)[1])
        return Scored(scores, self.forecasts[numbers])


def score_in_scale(
    saved: SavedModel,
    model: TimeLLM,
    series: Panel,
    test: Windows,
    scaler: Scaler,
    batch_size: int,
) -> Scored:
    """Scores and forecasts of a model on test windows in the scale of another model.

    Args:
        saved: folder of the model.
        model: the loaded model.
        series: series in original units; the model gets it in the units of its own scaler.
        test: test windows, scaled by `scaler`; of some of the model's series, or all.
        scaler: the common scale, in which errors are computed.
        batch_size: windows per batch.

    Raises ModelError if the channels or the horizon differ, or if the lookback starts before the series.
    """
    saved.refuse_other_facts(series)
    own = saved.scaler
    if set(scaler.channels) <= set(own.channels):
        own = own.select(scaler.channels)
    if own.channels != scaler.channels or saved.config.window.pred_len != test.pred_len:
        raise ModelError(
            f"the model forecasts {saved.config.window.pred_len} rows of {own.channels}; "
            f"the windows have {test.pred_len} rows of {scaler.channels}",
            where=str(saved.folder),
            do="compare models with the same horizon and the same channels",
        )
    shift = test.seq_len - saved.config.window.seq_len  # windows with another lookback end at the same row
    segments = replace(test.segments, first=test.segments.first + shift)
    if (segments.first < 0).any():
        raise ModelError(
            f"the model needs {saved.config.window.seq_len} input rows, more than the series has up to the first test "
            "origin",
            where=str(saved.folder),
            do="use a longer series",
        )
    inputs = Windows(scale_panel(series, own), segments, saved.config.window.seq_len, test.pred_len)
    scores = TestScores(test, scaler)
    forecasts = np.empty((len(test), test.pred_len), dtype=np.float32)
    for which, forecast, _ in model.forecast_windows(inputs, batch_size, label="test"):
        channel = test.channel(which)
        forecasts[which] = scaler.scale(own.unscale(forecast.astype(np.float64), channel), channel)
        scores.add(which, forecasts[which], test.gather(which)[1])
    return Scored(scores, forecasts)
