"""Live accuracy: errors of the champion on values that arrived after its promotion, computed by later retrainings.

The test chose the champion, so its errors there are somewhat too small. The values after its promotion chose nothing.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

from timellm_pipeline.evaluation.baselines import CHUNK, seasonal_naive
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
        data: the newest windows, in the scale of a candidate; of channels of the champion.
        newest: time stamp of the newest row at the promotion, with its UTC offset if the file had one.
        season: season length in rows.
    """
    test = data.windows("test")
    later = np.flatnonzero(test.origin(np.arange(len(test))) >= _row_of(newest, test.panel.stamps_in_file))
    if not len(later):
        return None
    number_of = {name: number for number, name in enumerate(champion.scaler.channels)}
    intervals = champion.intervals()
    intervals = intervals and intervals.select([number_of[name] for name in test.names])
    origins, squared, coverage = np.unique(test.origin(later)), np.zeros(2), Coverage(intervals)
    # An error in scaled units of the candidate, times its deviation, divided by the champion's.
    ratios = np.asarray(data.scaler.std) / np.asarray(champion.scaler.select(test.names).std)
    for first in range(0, len(later), CHUNK):
        which = later[first : first + CHUNK]
        channel, (x, truth) = test.channel(which), test.gather(which)
        both = forecasts[which], seasonal_naive(x, test.pred_len, season)
        errors = [(forecast.astype(np.float64) - truth) * ratios[channel, None] for forecast in both]
        squared += [float((error**2).sum()) for error in errors]
        coverage.add(errors[0], channel)
    mse, naive_mse = (squared / (len(later) * test.pred_len)).tolist()
    return LiveErrors(
        first=str(test.panel.stamps_in_file[origins[0] + 1]),
        last=str(test.panel.stamps_in_file[origins[-1] + test.pred_len]),
        origins=len(origins),
        mse=mse,
        seasonal_naive=naive_mse,
        inside={level: counts["inside"] for level, counts in coverage.report().items() if level in LEVELS},
    )


def _row_of(newest: str, stamps: pd.DatetimeIndex) -> int:
    """Row of the last time stamp that is not later than `newest`; -1 before the first. Zones count if both have one."""
    stamp = pd.Timestamp(newest)
    if stamp.tzinfo is None or stamps.tz is None:
        stamp, stamps = stamp.tz_localize(None), stamps.tz_localize(None)
    return int(stamps.searchsorted(stamp, side="right")) - 1
