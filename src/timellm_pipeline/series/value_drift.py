"""How far the newest values of each series lie outside the range of its training values."""

import numpy as np
from jaxtyping import Float

from timellm_pipeline.series.panel import Panel

TAIL = 0.01  # share of the rows at each end of a range that may be outliers
WIDTH = 4.6527  # from the 1 % to the 99 % quantile of a normal distribution, in standard deviations


def value_drift(panel: Panel, train: tuple[int, int], newest: tuple[int, int]) -> Float[np.ndarray, "series"]:
    """Distance of the newest values outside the range of the training values, in deviations of training; at least 0.

    A range goes from the 1 % to the 99 % quantile, and the deviation is that of a normal distribution with this range.
    So a single outlier changes neither. A range without width has the deviation 1, that of the scaled units.

    Args:
        panel: series in scaled units.
        train, newest: half-open ranges of grid positions. A series without rows in one of them has the distance 0.
    """
    drift = np.zeros(panel.num_series)
    for number in range(panel.num_series):
        values = panel.series(number)
        before, now = (values[panel.rows_inside(number, rows)] for rows in (train, newest))
        if len(before) and len(now):
            (low, high), (new_low, new_high) = _range(before), _range(now)
            deviation = (high - low) / WIDTH or 1.0
            drift[number] = max(low - new_low, new_high - high, 0.0) / deviation
    return drift


def _range(values: Float[np.ndarray, "rows"]) -> tuple[float, float]:
    """The quantiles, each at a value of its own inner side: interpolation would mix in the outlier of a short range."""
    low = float(np.quantile(values, TAIL, method="higher"))
    return low, float(np.quantile(values, 1 - TAIL, method="lower"))
