"""Inference on a table: select the windows that end at its last rows, and convert their forecasts to a table."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.series.clock import refuse_future
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import read_series
from timellm_pipeline.series.time_zone import as_in_file
from timellm_pipeline.series.validation import Wanted

log = logging.getLogger(__name__)

LONG_NAMES = (("channel", "value"), ("unique_id", "y"))  # ours, and that of other forecasting libraries


@dataclass(frozen=True)
class LastWindows:
    """Windows that end at the last rows of a panel, ordered by series, then by origin (oldest first).

    Attributes:
        panel: validated series in original units.
        inputs: input points in scaled units.
        names: series that are forecast.
        channel: channel index in the scaler of each window.
        ends: last input row of each origin.
        filled: whether each window contains rows that were filled in.
    """

    panel: Panel
    inputs: Float32[np.ndarray, "windows seq_len"]
    names: list[str]
    channel: Int[np.ndarray, "windows"]
    ends: Int[np.ndarray, "origins"]
    filled: Bool[np.ndarray, "windows"]

    @property
    def of_window(self) -> list[str]:
        """Name of the series of each window."""
        return [name for name in self.names for _ in self.ends]


def panel_of_frame(
    frame: pd.DataFrame, saved: SavedModel, gaps: Literal["error", "interpolate", "drop_windows"] | None
) -> Panel:
    """Validated series of a wide or long table.

    Args:
        frame: see `TimeLLM.forecast`.
        saved: model that determines the channels and how the table is read.
        gaps: as `data.gaps`; None: as in training.

    Raises SeriesError if the table cannot be used.
    """
    if not isinstance(frame, pd.DataFrame):
        raise SeriesError(
            f"this is a {type(frame).__name__}, not a pandas DataFrame",
            where="forecast(frame)",
            do="pass a table with a date column and one column per channel",
        )
    data = saved.config.trained_on.data
    if gaps is not None:
        data = data.model_copy(update={"gaps": gaps})
    return read_series(to_wide(frame, data.date_column), data, Wanted.for_forecast(saved.config.needed_channels))


def to_wide(frame: pd.DataFrame, date_column: str) -> pd.DataFrame:
    """Wide table (one column per channel) of a long table (time stamp, channel, value; or ds, unique_id, y).

    Any other table is returned unchanged. Raises SeriesError if a channel has two values at one time stamp.
    """
    for channel, value in LONG_NAMES:
        stamp = "ds" if channel == "unique_id" else date_column
        if set(frame.columns) != {stamp, channel, value}:
            continue
        repeated = frame.duplicated([stamp, channel])
        if repeated.any():
            row = frame[repeated].iloc[0]
            raise SeriesError(
                f"the time stamp {shown(row[stamp])} is repeated for channel `{shown(row[channel])}`",
                where="the long table",
                do="keep one value per time stamp and channel",
            )
        wide = frame.pivot(index=stamp, columns=channel, values=value).reset_index()
        wide.columns.name = None
        return wide.rename(columns={stamp: date_column})
    return frame


def select_windows(panel: Panel, saved: SavedModel, origins: int) -> LastWindows:
    """Windows of `origins` origins: the last row of the panel and earlier rows, `pred_len` rows apart.

    Args:
        panel: validated series in original units.
        saved: model whose scaler, channels and window lengths are used.
        origins: number of origins.

    Raises SeriesError if the frequency differs from training, there are too few rows, the newest row is in the future,
    a scaled value is not finite, or, for `data.gaps: drop_windows`, a window contains a gap.
    """
    config, file = saved.config, panel.source.path
    if panel.frequency != config.frequency:
        raise SeriesError(
            f"the model was trained on frequency {config.frequency}; this table has frequency {panel.frequency}",
            where=file,
            do="use a table with the same frequency, or train a model on this table",
        )
    refuse_future(panel)
    seq_len, pred_len = config.window.seq_len, config.window.pred_len
    panel = panel.select(config.needed_channels)
    ends = panel.num_rows - 1 - pred_len * np.arange(origins)[::-1]
    if ends[0] + 1 < seq_len:
        needed = seq_len + pred_len * (origins - 1)
        raise SeriesError(
            f"{panel.num_rows:,} rows are too few: the model needs {seq_len:,} rows"
            + (f", and {origins} origins {pred_len} rows apart need {needed:,}" if origins > 1 else ""),
            where=file,
            do="use a longer table" + (", or lower forecast.origins" if origins > 1 else ""),
        )
    filled = np.concatenate([_find_filled(panel, number, ends, seq_len) for number in range(panel.num_series)])
    channel = np.repeat([saved.scaler.channels.index(name) for name in panel.ids], origins)
    rows = ends[:, None] + np.arange(1 - seq_len, 1)
    values = np.concatenate([panel.series(number)[rows] for number in range(panel.num_series)])
    with np.errstate(over="ignore", invalid="ignore"):
        inputs = saved.scaler.scale(values, channel).astype(np.float32)
    selected = LastWindows(panel, inputs, list(panel.ids), channel, ends, filled)
    with np.errstate(over="ignore"):
        _refuse_not_finite(inputs**2, selected)  # the network divides by the deviation of the window
    return selected


def forecast_table(
    selected: LastWindows, forecasts: Float[np.ndarray, "windows pred_len"], saved: SavedModel, levels: Iterable[int]
) -> pd.DataFrame:
    """Table of forecasts in original units; for the columns see `TimeLLM.forecast`.

    Args:
        selected: windows of the forecasts.
        forecasts: [windows, pred_len] in scaled units.
        saved: model with scaler and prediction intervals.
        levels: levels of the prediction intervals in percent.

    Raises SeriesError if a forecast is not a finite number.
    """
    _refuse_not_finite(forecasts, selected)
    panel, scaler, names = selected.panel, saved.scaler, selected.names
    pred_len, origins = forecasts.shape[1], len(selected.ends)
    last = panel.stamps[selected.ends]
    stamps = [pd.date_range(end, periods=pred_len + 1, freq=panel.frequency)[1:] for end in last]
    after = pd.DatetimeIndex(np.concatenate(stamps))
    points = np.tile(np.arange(origins * pred_len), len(names))
    table = pd.DataFrame(
        {
            "channel": np.repeat(np.array(names, dtype=object), origins * pred_len),
            "window_end": as_in_file(pd.DatetimeIndex(last.repeat(pred_len)), panel.zone)[points],
            "step": np.tile(np.arange(1, pred_len + 1, dtype=np.int32), len(names) * origins),
            "timestamp": as_in_file(after, panel.zone)[points],
            "forecast": scaler.unscale(forecasts, selected.channel).reshape(-1),
        }
    )
    intervals = saved.intervals()
    if intervals is not None:
        std = np.asarray(scaler.std)[selected.channel, None]
        for level in levels:
            half = (intervals.at(level)[selected.channel] * std).reshape(-1)
            table[f"lower_{level}"], table[f"upper_{level}"] = table["forecast"] - half, table["forecast"] + half
    table["window_filled"] = np.repeat(selected.filled, pred_len)
    return table


def _find_filled(panel: Panel, number: int, ends: np.ndarray, seq_len: int) -> Bool[np.ndarray, "origins"]:
    """For each origin, whether the window of one series contains filled rows. Such windows are logged.

    Raises SeriesError for `data.gaps: drop_windows`, which excludes windows with a gap from forecasts too.
    """
    spans, name = panel.filled_spans(number), panel.ids[number]
    filled = np.zeros(len(ends), dtype=bool)
    for first, last in spans:
        filled |= (ends + 1 - seq_len <= last) & (ends >= first)
    if not filled.any():
        return filled
    end = int(ends[int(np.flatnonzero(filled)[-1])])
    inside = [(max(first, end + 1 - seq_len), min(last, end)) for first, last in spans]
    rows = [(first, last) for first, last in inside if first <= last]
    what = (
        f"the window of channel `{shown(name)}` that ends at {panel.stamps[end]} contains "
        f"{sum(last - first + 1 for first, last in rows)} of {seq_len} rows that are missing in the file, the first at "
        f"{panel.stamps[rows[0][0]]}"
    )
    if panel.drop_filled:
        raise SeriesError(
            f"{what}; data.gaps=drop_windows excludes such windows",
            where=panel.source.path,
            do=f"add the missing rows, or wait until the newest {seq_len} rows are complete",
        )
    log.warning(
        "%s: %s; they were interpolated in time, and the column `window_filled` marks its forecasts",
        panel.source.path,
        what,
    )
    return filled


def _refuse_not_finite(values: np.ndarray, selected: LastWindows) -> None:
    """Raise SeriesError with the first series whose window or forecast is not finite."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if not bad.size:
        return
    name = shown(selected.of_window[int(bad[0])])
    largest = np.nan_to_num(np.abs(selected.inputs[bad[0]]), nan=np.inf).max()
    raise SeriesError(
        f"the forecast of channel `{name}` is not a finite number: its window has values {largest:.3g} standard "
        "deviations from the training mean",
        where=f"{selected.panel.source.path}, column `{name}`, the newest rows",
        do="correct the extreme values in the newest rows, or remove them",
    )
