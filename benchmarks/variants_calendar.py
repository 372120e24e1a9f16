"""Calendar facts of a window's horizon, in words and as numbers, for variants.py."""

from dataclasses import dataclass

import holidays
import numpy as np
import pandas as pd

from timellm_pipeline.evaluation.correction import PartErrors
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.linear.residuals import Residuals
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.series.windows import Windows

COUNTRIES = {"ETTh1": "CN"}  # others: US
PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)  # rows


@dataclass(frozen=True)
class Calendar:
    """Calendar facts of each grid row of a panel.

    Attributes:
        stamps: time stamps of the rows.
        names: name of the holiday of each row; empty on other days.
        horizon: rows of a forecast.
    """

    stamps: pd.DatetimeIndex
    names: np.ndarray
    horizon: int

    @classmethod
    def of(cls, data: TrainingData, name: str) -> "Calendar":
        """Calendar of prepared data."""
        stamps = data.scaled.stamps
        country = COUNTRIES.get(name, "US")
        days = holidays.country_holidays(country, years=sorted(set(stamps.year)), language="en_US")
        names = np.array([days.get(stamp.date(), "") for stamp in stamps], dtype=object)
        return cls(stamps, names, data.index.facts.pred_len)

    def words(self, origin: int) -> str:
        """The facts in a sentence. `origin` is the grid position of the last input row."""
        first = self.stamps[origin + 1]
        named = dict.fromkeys(name for name in self.names[origin + 1 : origin + 1 + self.horizon] if name)
        text = f"{first:%A}, {first.day} {first:%B}, {first.hour}:00"
        return f"\nForecast from: {text}; holidays: {', '.join(named) or 'none'}"

    def numbers(self, origins: np.ndarray) -> np.ndarray:
        """The same facts as regressors: hour, weekday, hour and weekend, month, and holidays by step of the horizon."""
        first = self.stamps[origins + 1]
        weekend = first.dayofweek >= 5
        columns = [
            np.eye(24)[first.hour],
            np.eye(24)[first.hour] * weekend[:, None],
            np.eye(7)[first.dayofweek],
            np.eye(12)[first.month - 1],
        ]
        is_holiday = (self.names != "").astype(float)
        steps = origins[:, None] + 1 + np.arange(self.horizon)
        columns.append(is_holiday[steps])
        common = [name for name in np.unique(self.names.astype(str)) if name]
        ahead = np.stack([np.isin(self.names, [name])[steps].any(axis=1) for name in common], axis=1)
        return np.concatenate([*columns, ahead.astype(float)], axis=1)


def correct_by_numbers(calendar: Calendar, data: TrainingData, linear: LinearPart, windows: Windows) -> PartErrors:
    """Errors on validation windows of a ridge regression of the residuals on calendar numbers.

    Each series has its own coefficients. The penalty is chosen by the blocks of the linear part.
    """
    train = data.windows("train")
    which, valid = np.arange(len(train)), np.arange(len(windows))
    _, residuals = Residuals(train, linear).gather(which)
    inputs = calendar.numbers(train.origin(which))
    fold = linear.folds.of_start(train.origin(which) - train.seq_len + 1)
    x, y = windows.gather(valid)
    rest = (y - linear.forecast(x, linear.numbers(windows.names)[windows.channel(valid)])).astype(np.float64)
    corrections = np.zeros_like(rest)
    features = calendar.numbers(windows.origin(valid))
    for series in np.unique(windows.channel(valid)):
        own, there = train.channel(which) == series, windows.channel(valid) == series
        errors = [
            sum(
                np.sum(
                    (
                        residuals[own & (fold == one)]
                        - _ridge(inputs, residuals, own & (fold != one), penalty, inputs[own & (fold == one)])
                    )
                    ** 2
                )
                for one in range(len(linear.folds))
            )
            for penalty in PENALTIES
        ]
        penalty = PENALTIES[int(np.argmin(errors))]
        corrections[there] = _ridge(inputs, residuals, own, penalty, features[there])
    pairs = ((rest, rest), (rest, corrections), (corrections, corrections))
    products = np.stack([(one * other).sum(axis=1) for one, other in pairs], axis=1)
    return PartErrors(windows, products, valid, rest, corrections)


def _ridge(inputs: np.ndarray, targets: np.ndarray, rows: np.ndarray, penalty: float, at: np.ndarray) -> np.ndarray:
    """Forecasts of a ridge regression with an intercept."""
    x, y = inputs[rows], targets[rows].astype(np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    centred = x - mean_x
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - mean_y))
    result: np.ndarray = (at - mean_x) @ weights + mean_y
    return result
