"""Inference on a table: select the windows that end at its last rows, and convert their forecasts to a table."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.model.array_windows import ArrayWindows
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.series.clock import refuse_future
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.long_table import STANDARD
from timellm_pipeline.series.names import list_names
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import read_series
from timellm_pipeline.series.time_zone import as_in_file
from timellm_pipeline.series.validation import Wanted

log = logging.getLogger(__name__)

LONG_NAMES = (("channel", "value"), ("unique_id", "y"))  # ours, and that of other forecasting libraries


@dataclass(frozen=True)
class LastWindows:
    """Windows that end at the last rows of each series, ordered by series, then by origin (oldest first).

    Attributes:
        panel: validated series in original units.
        inputs: input points in scaled units.
        series: index in the panel of the series of each window.
        channel: channel index in the scaler of each window.
        ends: grid position of the last input row of each window.
        filled: whether each window contains rows that were filled in.
        columns: known columns of the windows; None without them.
    """

    panel: Panel
    inputs: Float32[np.ndarray, "windows seq_len"]
    series: Int[np.ndarray, "windows"]
    channel: Int[np.ndarray, "windows"]
    ends: Int[np.ndarray, "windows"]
    filled: Bool[np.ndarray, "windows"]
    columns: KnownValues | None = None

    def part(self, which: slice) -> "LastWindows":
        """Some of the windows."""
        arrays = {name: getattr(self, name)[which] for name in ("inputs", "series", "channel", "ends", "filled")}
        columns = self.columns and replace(self.columns, values=self.columns.values[which])
        return replace(self, **arrays, columns=columns)

    @property
    def windows(self) -> ArrayWindows:
        """The windows, to be forecast."""
        texts = tuple(self.panel.facts[number] for number in self.series) if self.panel.facts else ()
        return ArrayWindows(self.inputs, self.panel.ids, self.series, texts, self.columns)


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
    wanted = Wanted.for_forecast(saved.config.needed_channels)
    if not data.id_columns:  # the model was trained on a wide table
        return read_series(to_wide(frame, data.date_column), data, wanted)
    if set(STANDARD) <= set(frame.columns):
        data = data.with_columns(STANDARD[:1], *STANDARD[1:])
    return read_series(frame, data, wanted)


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
    """Windows of `origins` origins of each series: its last row and earlier rows, `pred_len` rows apart.

    Series of a long table with too few rows are left out and logged.

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
    saved.refuse_other_facts(panel)
    seq_len, pred_len = config.window.seq_len, config.window.pred_len
    panel = panel.select([name for name in config.needed_channels if name in panel.number_of])
    back = pred_len * np.arange(origins)[::-1]
    chosen = np.flatnonzero(panel.lengths >= seq_len + back[0])
    _report_short(panel, chosen, seq_len, pred_len, origins)
    series = np.repeat(chosen, origins)
    last = (panel.lengths[chosen, None] - 1 - back).reshape(-1)  # row within its series
    filled = np.zeros((len(chosen), origins), dtype=bool)
    for place in np.flatnonzero(np.isin(chosen, panel.filled[:, 0])):  # only series with gaps
        number = int(chosen[place])
        filled[place] = _find_filled(panel, number, panel.lengths[number] - 1 - back, seq_len)
    number_of = {name: number for number, name in enumerate(saved.scaler.channels)}
    channel = np.array([number_of[panel.ids[number]] for number in chosen]).repeat(origins)
    values = panel.values[(panel.offsets[series] + last)[:, None] + np.arange(1 - seq_len, 1)]
    with np.errstate(over="ignore", invalid="ignore"):
        inputs = saved.scaler.scale(values, channel).astype(np.float32)
    columns = _known_columns(panel, series, last, seq_len, pred_len)
    selected = LastWindows(panel, inputs, series, channel, panel.first[series] + last, filled.reshape(-1), columns)
    with np.errstate(over="ignore"):
        _refuse_not_finite(inputs**2, selected)  # the network divides by the deviation of the window
    return selected


def _known_columns(
    panel: Panel, series: Int[np.ndarray, "windows"], last: Int[np.ndarray, "windows"], seq_len: int, pred_len: int
) -> KnownValues | None:
    """Known columns of the windows. Raises SeriesError for a series whose future values are missing.

    Args:
        last: last input row of each window, counted within its series.
    """
    known = panel.known
    if known is None:
        return None
    unknown = last + pred_len + 1 - known.length[series]
    if (unknown > 0).any():
        window = int((unknown > 0).argmax())
        number, missing = int(series[window]), int(known.length[series[window]])
        stamp = panel.stamp(int(panel.first[number]) + missing)
        raise SeriesError(
            f"`{shown(panel.ids[number])}` has no known columns ({', '.join(map(shown, known.names))}) at {stamp}; "
            f"{len(np.unique(series[unknown > 0])):,} of {panel.num_series:,} series lack some of the next {pred_len}",
            where=panel.source.path,
            do="add rows with the known columns and an empty value, or give them in a file: --params known_csv=PATH",
        )
    return known.gather(series, last - seq_len + 1, seq_len + pred_len)


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
    panel, scaler, pred_len = selected.panel, saved.scaler, forecasts.shape[1]
    grid = pd.date_range(panel.start, periods=int(selected.ends.max()) + pred_len + 1, freq=panel.frequency)
    stamps = as_in_file(grid, panel.zone)
    after = selected.ends[:, None] + np.arange(1, pred_len + 1)
    table = pd.DataFrame(
        {
            "channel": np.array(panel.ids, dtype=object)[selected.series].repeat(pred_len),
            "window_end": stamps[selected.ends.repeat(pred_len)],
            "step": np.tile(np.arange(1, pred_len + 1, dtype=np.int32), len(after)),
            "timestamp": stamps[after.reshape(-1)],
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


def _report_short(panel: Panel, chosen: np.ndarray, seq_len: int, pred_len: int, origins: int) -> None:
    """Log the series with too few rows for a forecast. Raises SeriesError for a wide table, or if no series is left."""
    short = np.setdiff1d(np.arange(panel.num_series), chosen)
    if not len(short):
        return
    is_long, needed = bool(panel.source.id_columns), seq_len + pred_len * (origins - 1)
    rows = f"{panel.num_rows:,} rows are" if not is_long else f"at most {panel.lengths.max():,} rows of a series are"
    if not is_long or not len(chosen):
        raise SeriesError(
            f"{rows} too few: the model needs {seq_len:,} rows"
            + (f", and {origins} origins {pred_len} rows apart need {needed:,}" if origins > 1 else ""),
            where=panel.source.path,
            do="use a longer table" + (", or lower forecast.origins" if origins > 1 else ""),
        )
    log.warning(
        "%s of %s series have fewer than the %s rows that the model needs, and are not forecast: %s",
        f"{len(short):,}",
        f"{panel.num_series:,}",
        f"{needed:,}",
        list_names([panel.ids[number] for number in short]),
    )


def _find_filled(panel: Panel, number: int, ends: np.ndarray, seq_len: int) -> Bool[np.ndarray, "origins"]:
    """For each origin, whether the window of one series contains filled rows. Such windows are logged.

    Args:
        ends: last input row of each origin, counted within the series.

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
        f"the window of channel `{shown(name)}` that ends at {panel.stamps[panel.first[number] + end]} contains "
        f"{sum(last - first + 1 for first, last in rows)} of {seq_len} rows that are missing in the file, the first at "
        f"{panel.stamps[panel.first[number] + rows[0][0]]}"
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
    name = shown(selected.panel.ids[int(selected.series[bad[0]])])
    largest = np.nan_to_num(np.abs(selected.inputs[bad[0]]), nan=np.inf).max()
    raise SeriesError(
        f"the forecast of channel `{name}` is not a finite number: its window has values {largest:.3g} standard "
        "deviations from the training mean",
        where=f"{selected.panel.source.path}, column `{name}`, the newest rows",
        do="correct the extreme values in the newest rows, or remove them",
    )
