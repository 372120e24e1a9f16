"""Errors of forecasts at origins whose horizon is in the series (backtest)."""

import pandas as pd

from timellm_pipeline.series.panel import Panel


def backtest_table(forecast: pd.DataFrame, series: Panel) -> str:
    """Text table of the mean absolute error of each channel over the forecast rows whose values are in the file.

    The text is empty if there is no such row.

    Args:
        forecast: table of `TimeLLM.forecast`.
        series: validated series in original units.
    """
    rows = series.stamps_in_file.get_indexer(pd.DatetimeIndex(forecast["timestamp"]))
    in_file = rows >= 0
    for number, name in enumerate(series.ids):
        other = (forecast["channel"] != name).to_numpy()
        for first, last in series.filled_spans(number):  # interpolated, not measured
            in_file &= other | (rows < first) | (rows > last)
    known = forecast[in_file].assign(row=rows[in_file])
    if known.empty:
        return ""
    lines = [f"  {'channel':<16} {'MAE':>10}   (original units, {known['window_end'].nunique()} origins)"]
    for channel, part in known.groupby("channel", sort=False):
        truth = series.series(series.number_of[str(channel)])[part["row"]]
        lines.append(f"  {channel:<16} {(part['forecast'] - truth).abs().mean():>10.4g}")
    return "\n".join(lines)
