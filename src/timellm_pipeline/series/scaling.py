"""Standardisation of channels: subtract the training mean, divide by the training standard deviation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, model_validator

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.mapped import empty, release
from timellm_pipeline.series.panel import Panel

CHUNK = 1 << 20  # values that are converted at a time


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

    def select(self, channels: Sequence[str]) -> "Scaler":
        """The scaler of some channels, in the given order. Raises KeyError for an unknown channel."""
        if list(channels) == self.channels:
            return self
        number_of = {name: number for number, name in enumerate(self.channels)}
        numbers = [number_of[name] for name in channels]
        chosen = {name: [getattr(self, name)[number] for number in numbers] for name in ("channels", "mean", "std")}
        return self.model_copy(update=chosen)

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

    A series with fewer training rows than a lookback is scaled by its first lookback, which is input of every forecast.
    The standard deviation of a constant series is set to 1, so that scaled values stay finite.
    Raises SeriesError for values whose squares overflow.
    """
    mean, std = np.empty(panel.num_series), np.empty(panel.num_series)
    begin = np.maximum(borders.train[0] - panel.first, 0)
    end = np.maximum(np.maximum(borders.train[1] - panel.first, 0), begin + borders.lookback)
    length = np.minimum(end, panel.lengths) - begin
    for number, values in equally_long(panel, begin, length):
        with np.errstate(over="ignore", invalid="ignore"):
            mean[number], std[number] = values.mean(axis=1), values.std(axis=1)
        bad = np.flatnonzero(~np.isfinite(std[number]))
        if len(bad):
            name, largest = panel.ids[int(number[bad[0]])], np.abs(values[bad[0]]).max()
            raise SeriesError(
                f"the values of channel `{shown(name)}` reach {largest:g}, too large to be squared",
                where=f"{panel.source.path}, column `{shown(name)}`, training rows",
                do="correct the values, or write the channel in larger units",
            )
        # Rounding of the mean of equal numbers may give a deviation of 1e-17; squares of 1e-200 are 0.
        constant = (values.max(axis=1) == values.min(axis=1)) | (std[number] == 0)
        std[number[constant]] = 1.0
    return Scaler(data_id=data_id, channels=list(panel.ids), mean=mean.tolist(), std=std.tolist(), rows=borders.train)


def equally_long(
    panel: Panel, begin: Int[np.ndarray, "series"], length: Int[np.ndarray, "series"]
) -> Iterator[tuple[Int[np.ndarray, "some"], Float[np.ndarray, "some rows"]]]:
    """Series whose rows are equally many, some at a time, and these rows as float64.

    A mean along the rows of an array has the bits of the mean of each row alone, and 100,000 series take a second.

    Args:
        panel: the series.
        begin: first row of each series, counted within the series.
        length: number of rows of each series; 0 is allowed.
    """
    for rows in np.unique(length).tolist():
        chosen = np.flatnonzero(length == rows)
        for some in np.array_split(chosen, max(1, -(-len(chosen) * rows // CHUNK))):
            start = panel.offsets[some] + begin[some]
            yield some, panel.values[start[:, None] + np.arange(rows)].astype(np.float64)
            release(panel.values)


def scale_panel(panel: Panel, scaler: Scaler) -> Panel:
    """Panel of the scaler's channels in scaled units (float32), with the data id of the scaler.

    Raises SeriesError for values that overflow float32 in scaled units.
    """
    panel = panel.select(scaler.channels)
    mean, std = np.asarray(scaler.mean), np.asarray(scaler.std)
    scaled = empty(len(panel.values), np.float32, panel.folder)
    for some in panel.blocks():
        part = slice(panel.offsets[some[0]], panel.offsets[some[-1] + 1])
        number = np.repeat(some, panel.lengths[some])
        with np.errstate(over="ignore", invalid="ignore"):
            scaled[part] = (panel.values[part] - mean[number]) / std[number]
        overflow = np.flatnonzero(~np.isfinite(scaled[part]))
        if overflow.size:
            raise _overflow(panel, int(part.start + overflow[0]))
        release(scaled)
    return replace(panel, values=scaled, data_id=scaler.data_id)


def _overflow(panel: Panel, place: int) -> SeriesError:
    """The error for a value, by its place in the panel, that is too large in scaled units."""
    series = int(np.searchsorted(panel.offsets, place, side="right")) - 1
    row = int(place - panel.offsets[series] + panel.first[series])
    return SeriesError(
        f"{panel.values[place]:g} is too far from the training values to be scaled",
        where=f"{panel.source.path}, {panel.stamps[row]}, column `{shown(panel.ids[series])}`",
        do="correct the value, or remove the column",
    )
