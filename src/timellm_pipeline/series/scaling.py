"""Standardisation of channels: subtract the training mean, divide by the training standard deviation."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, model_validator

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.panel import Panel


class Scaler(BaseModel):
    """Mean and standard deviation per channel, from training rows only. Saved as JSON with every model.

    Attributes:
        data_id: id of the data preparation.
        channels: ids of the series, in the order of `mean` and `std`.
        rows: half-open range of the training rows.
    """

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
        if not np.isfinite(numbers).all() or not all(deviation > 0 for deviation in self.std):
            raise ValueError("a mean or a deviation is not a finite number, or a deviation is not positive")
        return self

    def scale(self, values: np.ndarray, channel: np.ndarray) -> Float[np.ndarray, "windows rows"]:
        """Values in scaled units.

        Args:
            values: [windows, rows] in original units.
            channel: [windows], channel index of each window.
        """
        return (values - np.asarray(self.mean)[channel, None]) / np.asarray(self.std)[channel, None]

    def unscale(self, values: np.ndarray, channel: np.ndarray) -> np.ndarray:
        """Values in original units.

        Args:
            values: [windows, rows] in scaled units.
            channel: [windows], channel index of each window.
        """
        return values * np.asarray(self.std)[channel, None] + np.asarray(self.mean)[channel, None]


def fit_scaler(panel: Panel, borders: Borders, data_id: str) -> Scaler:
    """Scaler with mean and population standard deviation of each series over the training rows.

    The standard deviation of a constant series is set to 1, so that scaled values stay finite.
    Raises SeriesError for values whose squares overflow.
    """
    rows = slice(*borders.train)
    mean, std = np.empty(panel.num_series), np.empty(panel.num_series)
    for number, name in enumerate(panel.ids):
        values = panel.series(number)[rows].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean[number], std[number] = values.mean(), values.std()
        if not np.isfinite(std[number]):
            raise SeriesError(
                f"the values of channel `{shown(name)}` reach {np.abs(values).max():g}, too large to be squared",
                where=f"{panel.source.path}, column `{shown(name)}`, training rows",
                do="correct the values, or write the channel in larger units",
            )
        # Rounding of the mean of equal numbers may give a deviation of 1e-17; squares of 1e-200 are 0.
        if values.max() == values.min() or std[number] == 0:
            std[number] = 1.0
    return Scaler(data_id=data_id, channels=list(panel.ids), mean=mean.tolist(), std=std.tolist(), rows=borders.train)


def scale_panel(panel: Panel, scaler: Scaler) -> Panel:
    """Panel of the scaler's channels in scaled units (float32), with the data id of the scaler.

    Raises SeriesError for values that overflow float32 in scaled units.
    """
    panel = panel.select(scaler.channels)
    number = np.repeat(np.arange(panel.num_series), panel.lengths)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = ((panel.values - np.asarray(scaler.mean)[number]) / np.asarray(scaler.std)[number]).astype(np.float32)
    overflow = np.flatnonzero(~np.isfinite(scaled))
    if overflow.size:
        series = int(number[overflow[0]])
        name, row = panel.ids[series], int(overflow[0] - panel.offsets[series] + panel.first[series])
        raise SeriesError(
            f"{panel.values[overflow[0]]:g} is too far from the training values to be scaled",
            where=f"{panel.source.path}, {panel.stamps[row]}, column `{shown(name)}`",
            do="correct the value, or remove the column",
        )
    return replace(panel, values=scaled, data_id=scaler.data_id)
