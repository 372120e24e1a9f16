"""Live accuracy: errors of the champion on values that arrived after its promotion, computed by later retrainings.

The test chose the champion, so its errors there are somewhat too small. The values after its promotion chose nothing.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

from timellm_pipeline.evaluation.baselines import seasonal_naive
from timellm_pipeline.evaluation.coverage import Coverage
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.series.prepare import WindowData

LEVELS = ("80", "95")  # prediction intervals that are reported, in percent


class LiveErrors(BaseModel):
    """Errors of the champion on the newest windows whose true values all arrived after its promotion.

    Attributes:
        first, last: time stamps of the first and the last true value.
        origins: number of forecast origins.
        mse: mean squared error, in scaled units of the champion.
        seasonal_naive: that of seasonal naive on the same windows.
        inside: share of true values inside the prediction intervals, by level; empty without intervals.
    """

    model_config = ConfigDict(frozen=True)

    first: str
    last: str
    origins: int
    mse: float
    seasonal_naive: float
    inside: dict[str, float]


def live_errors(
    champion: SavedModel, forecasts: Float[np.ndarray, "windows pred_len"], data: WindowData, newest: str, season: int
) -> LiveErrors | None:
    """Live errors of a champion, or None if no horizon has passed since its promotion.

    Args:
        forecasts: its forecasts of the test windows, in scaled units of `data`.
        data: the newest windows, in the scale of a candidate with the same channels.
        newest: time stamp of the newest row at the promotion.
        season: season length in rows.
    """
    test = data.windows("test")
    last_known = test.panel.stamps.searchsorted(pd.Timestamp(newest), side="right") - 1
    which = np.flatnonzero(test.origin(np.arange(len(test))) >= last_known)
    if not len(which):
        return None
    channel, origins = test.channel(which), np.unique(test.origin(which))
    x, truth = test.gather(which)
    # An error in scaled units of the candidate, times its deviation, divided by the champion's.
    ratio = (np.asarray(data.scaler.std) / np.asarray(champion.scaler.std))[channel, None]
    errors = (forecasts[which].astype(np.float64) - truth) * ratio
    naive_errors = (seasonal_naive(x, test.pred_len, season).astype(np.float64) - truth) * ratio
    coverage = Coverage(champion.intervals())
    coverage.add(errors, channel)
    return LiveErrors(
        first=str(test.panel.stamps[origins[0] + 1]),
        last=str(test.panel.stamps[origins[-1] + test.pred_len]),
        origins=len(origins),
        mse=float(np.mean(errors**2)),
        seasonal_naive=float(np.mean(naive_errors**2)),
        inside={level: counts["inside"] for level, counts in coverage.report().items() if level in LEVELS},
    )
