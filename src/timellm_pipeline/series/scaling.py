"""Scaled units: each channel less its training mean, over its training standard deviation."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, model_validator

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.series.borders import Borders


class Scaler(BaseModel):
    """Mean and standard deviation a channel, from training rows only; saved as JSON beside every model."""

    model_config = ConfigDict(frozen=True)

    data_id: str
    channels: list[str]
    mean: list[float]
    std: list[float]
    rows: tuple[int, int]

    @model_validator(mode="after")
    def _fits(self) -> "Scaler":
        numbers = [*self.mean, *self.std]
        if not len(self.channels) == len(self.mean) == len(self.std):
            raise ValueError(f"{len(self.channels)} channels, {len(self.mean)} means and {len(self.std)} deviations")
        if not np.isfinite(numbers).all() or not all(one > 0 for one in self.std):
            raise ValueError("a mean or a deviation is not a finite number, or a deviation is not positive")
        return self

    def scale(self, values: Float[np.ndarray, "rows channels"]) -> Float[np.ndarray, "rows channels"]:
        """Original units to scaled units."""
        return (values - np.asarray(self.mean)) / np.asarray(self.std)

    def unscale(self, values: np.ndarray, channel: np.ndarray) -> np.ndarray:
        """Scaled units [windows, horizon] back to original units; `channel` [windows] numbers the channels."""
        return values * np.asarray(self.std)[channel, None] + np.asarray(self.mean)[channel, None]


def fit_scaler(series: pd.DataFrame, channels: list[str], borders: Borders, data_id: str) -> Scaler:
    """Mean and (population) standard deviation of each channel over the training rows.

    A constant channel has no spread to divide by; its standard deviation counts as 1, so it stays finite.
    """
    first, last = borders.train
    values = series[channels].iloc[first:last].to_numpy(dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = values.mean(axis=0), values.std(axis=0)
    beyond = np.flatnonzero(~np.isfinite(std))
    if beyond.size:
        worst = np.abs(values[:, beyond[0]]).max()
        raise SeriesError(
            f"the values of channel `{channels[int(beyond[0])]}` reach {worst:g}, too far to be squared",
            where=f"{series.attrs.get('file', 'the series')}, column `{channels[int(beyond[0])]}`, training rows",
            do="mend the values, or give the channel in larger units",
        )
    # The mean of equal numbers may be off in its last digit, and leave a spread of 1e-17; squares of 1e-200 are 0.
    std[(values.max(axis=0) == values.min(axis=0)) | (std == 0)] = 1.0
    return Scaler(
        data_id=data_id,
        channels=channels,
        mean=mean.tolist(),
        std=std.tolist(),
        rows=borders.train,
    )


def scale_series(series: pd.DataFrame, scaler: Scaler) -> pd.DataFrame:
    """The scaled channels as float32 behind `date`, with the series' facts and the data id in `attrs`."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = scaler.scale(series[scaler.channels].to_numpy(dtype=np.float64)).astype(np.float32)
    beyond = np.flatnonzero(~np.isfinite(scaled).all(axis=0))
    if beyond.size:
        name = scaler.channels[int(beyond[0])]
        row = int(np.flatnonzero(~np.isfinite(scaled[:, beyond[0]]))[0])
        raise SeriesError(
            f"{series[name].iloc[row]:g} is too far from the training rows' values to be scaled",
            where=f"{series.attrs.get('file', 'the series')}, {series['date'].iloc[row]}, column `{name}`",
            do="mend the value, or remove the column",
        )
    frame = pd.DataFrame(scaled, columns=scaler.channels)
    frame.insert(0, "date", series["date"].to_numpy())
    frame.attrs = {**series.attrs, "data_id": scaler.data_id}
    return frame
