"""Forecast what comes after the last row of a table, with time stamps, in its own units."""

import difflib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.model.batches import in_order
from timellm_pipeline.model.intervals import widths_at
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.series.clock import refuse_future
from timellm_pipeline.series.gaps import touches
from timellm_pipeline.series.validation import validate_series
from timellm_pipeline.series.windows import forecast_channels

if TYPE_CHECKING:
    from timellm_pipeline.model.timellm import TimeLLM

log = logging.getLogger(__name__)

LONG_NAMES = (("channel", "value"), ("unique_id", "y"))  # ours, and the one that other forecasting libraries use


def to_wide(frame: pd.DataFrame, date_column: str) -> pd.DataFrame:
    """A long table (time stamp, channel, value; or ds, unique_id, y) as one column a channel; others as they are."""
    if not isinstance(frame.columns, pd.Index) or frame.empty:
        return frame
    for channel, value in LONG_NAMES:
        stamp = "ds" if channel == "unique_id" else date_column
        if set(frame.columns) == {stamp, channel, value}:
            twice = frame.duplicated([stamp, channel])
            if twice.any():
                row = frame[twice].iloc[0]
                raise SeriesError(
                    f"{row[stamp]} stands twice for channel `{row[channel]}`",
                    where="the long table",
                    do="keep one value for each time stamp and channel",
                )
            wide = frame.pivot(index=stamp, columns=channel, values=value).reset_index()
            wide.columns.name = None
            wide = wide.rename(columns={stamp: date_column})
            wide.attrs = dict(frame.attrs)
            return wide
    return frame


def check_series(series: pd.DataFrame, saved: SavedModel) -> None:
    """Raises SeriesError when a checked series is not one that this model can go on with."""
    config, file = saved.config, str(series.attrs.get("file", "the table"))
    present = [name for name in series.columns if name != "date"]
    missing = [name for name in config.channels if name not in present]
    if missing:
        near = difflib.get_close_matches(missing[0], present, n=1)
        raise SeriesError(
            f"the model was trained on the channels {config.channels}; {missing} are not here"
            + (f" (`{near[0]}` is)" if near else ""),
            where=file,
            do="give a table with the same channels",
        )
    if series.attrs["frequency"] != config.frequency:
        raise SeriesError(
            f"the model was trained on steps of {config.frequency}; the steps here are {series.attrs['frequency']}",
            where=file,
            do="give a table with the same frequency, or train a model on this one",
        )


def forecast_series(
    model: "TimeLLM", saved: SavedModel, series: pd.DataFrame, origins: int, levels: Iterable[int], batch_size: int
) -> pd.DataFrame:
    """What comes after the last row, and after `origins - 1` rows before it, each `pred_len` rows apart.

    Args:
        series: a checked series (`validate_series`).

    Returns:
        `channel, window_end, step, timestamp, forecast` in original units, oldest origin first, `lower_L`, `upper_L`
        for each level, and `window_filled`: whether the window holds rows that were filled in (`data.gaps`).

    Raises SeriesError for other channels, another frequency, fewer rows than the windows need, rows in the future,
    values that give no finite forecast, and, under `data.gaps: drop_windows`, a window with a gap.
    """
    check_series(series, saved)
    refuse_future(series)
    config, scaler = saved.config, saved.scaler
    seq_len, pred_len = config.window.seq_len, config.window.pred_len
    ends = len(series) - 1 - pred_len * np.arange(origins)[::-1]  # the last row that each origin sees
    if ends[0] + 1 < seq_len:
        needed = seq_len + pred_len * (origins - 1)
        raise SeriesError(
            f"{len(series):,} rows are too few: the model sees {seq_len:,} rows"
            + (f", and {origins} origins {pred_len} rows apart need {needed:,}" if origins > 1 else ""),
            where=str(series.attrs.get("file", "the table")),
            do="give a longer table" + (", or lower forecast.origins" if origins > 1 else ""),
        )
    names = forecast_channels(config.channels, config.window)
    numbers = np.array([config.channels.index(name) for name in names])
    window_filled = _find_filled(series, ends, seq_len)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = scaler.scale(series[config.channels].to_numpy(dtype=np.float64)).astype(np.float32).T
    rows = ends[:, None] + np.arange(1 - seq_len, 1)
    windows = scaled[numbers][:, rows].reshape(-1, seq_len)  # channel by channel, its origins within
    channel = np.repeat(numbers, origins)
    of_window = [names[number // origins] for number in range(len(channel))]
    _refuse_not_finite(windows, windows, of_window, series)
    forecasts = forecast_windows_of(model, windows, batch_size)
    _refuse_not_finite(forecasts, windows, of_window, series)
    made = scaler.unscale(forecasts, channel)
    last = pd.DatetimeIndex(series["date"])[ends]
    stamps = np.stack([pd.date_range(end, periods=pred_len + 1, freq=config.frequency)[1:].to_numpy() for end in last])
    table = pd.DataFrame(
        {
            "channel": np.repeat(np.array(names, dtype=object), origins * pred_len),
            "window_end": np.tile(np.repeat(last.to_numpy(), pred_len), len(names)),
            "step": np.tile(np.arange(1, pred_len + 1, dtype=np.int32), len(names) * origins),
            "timestamp": np.tile(stamps.reshape(-1), len(names)),
            "forecast": made.reshape(-1),
        }
    )
    widths = saved.intervals()
    if widths is not None:
        for level in levels:
            half = (widths_at(widths, level)[channel] * np.asarray(scaler.std)[channel, None]).reshape(-1)
            table[f"lower_{level}"], table[f"upper_{level}"] = table["forecast"] - half, table["forecast"] + half
    table["window_filled"] = np.tile(np.repeat(window_filled, pred_len), len(names))
    table.attrs = {"frequency": config.frequency, "training_id": config.training_id}
    return table


def _find_filled(series: pd.DataFrame, ends: np.ndarray, seq_len: int) -> np.ndarray:
    """For each window by its last row, whether it holds rows that were filled in. Such windows are reported.

    Raises SeriesError under `data.gaps: drop_windows`: there no window with a gap is used, also not to forecast.
    """
    file, dates = str(series.attrs.get("file", "the table")), series["date"]
    filled = touches(ends + 1 - seq_len, seq_len, series.attrs.get("filled", []))
    if not filled.any():
        return filled
    end = int(ends[int(np.flatnonzero(filled)[-1])])
    inside = [(max(first, end + 1 - seq_len), min(last, end)) for first, last in series.attrs["filled"]]
    rows = [(first, last) for first, last in inside if first <= last]
    what = (
        f"the window that ends at {dates.iloc[end]} holds {sum(last - first + 1 for first, last in rows)} of {seq_len} "
        f"rows that are missing in the file, the first at {dates.iloc[rows[0][0]]}"
    )
    if "gaps" in series.attrs:
        raise SeriesError(
            f"{what}; data.gaps=drop_windows uses no such window",
            where=file,
            do=f"fill the rows in, or wait until the newest {seq_len} rows are complete",
        )
    log.warning("%s: %s; they were filled in along time, and its forecasts are marked in `window_filled`", file, what)
    return filled


def _refuse_not_finite(values: np.ndarray, windows: np.ndarray, names: list[str], series: pd.DataFrame) -> None:
    """Raises SeriesError naming the first channel whose window, or forecast, is not finite."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if not bad.size:
        return
    name, largest = names[int(bad[0])], np.nan_to_num(np.abs(windows[bad[0]]), nan=np.inf).max()
    raise SeriesError(
        f"the forecast of channel `{name}` is not a finite number: its window reaches {largest:.3g} training "
        "deviations from the training mean",
        where=f"{series.attrs.get('file', 'the table')}, column `{name}`, the newest rows",
        do="correct the extreme values in the newest rows, or remove them",
    )


def forecast_windows_of(model: "TimeLLM", windows: np.ndarray, batch_size: int) -> np.ndarray:
    """Forecasts [windows, pred_len] of windows [windows, seq_len], in scaled units."""
    model.eval()
    device = next(model.head.parameters()).device
    made = []
    assert model.compute is not None
    with torch.no_grad(), model.compute.autocast():
        for which in in_order(len(windows), batch_size):
            x = torch.from_numpy(windows[which])
            made.append(model(x.to(device), model.prompts_for(windows[which])).float().cpu().numpy())
    return np.concatenate(made).astype(np.float64)


def forecast_frame(
    model: "TimeLLM", frame: pd.DataFrame, origins: int, levels: Iterable[int], batch_size: int
) -> pd.DataFrame:
    """As `forecast_series`, from a table as people have it: wide or long, unchecked."""
    saved = model.saved
    assert saved is not None
    if not isinstance(frame, pd.DataFrame):
        raise SeriesError(
            f"this is a {type(frame).__name__}, not a pandas DataFrame",
            where="forecast(frame)",
            do="give a table with a date column and one column a channel",
        )
    data, window = saved.config.data, saved.config.window
    wide = to_wide(frame, data.date_column)
    stamps = wide.get(data.date_column)
    if stamps is not None and pd.api.types.is_datetime64_any_dtype(stamps):
        wide = wide.assign(**{data.date_column: wide[data.date_column].astype(str)})
    series = validate_series(wide, data, window)
    return forecast_series(model, saved, series, origins, levels, batch_size)
