"""Errors of forecasts at origins whose horizon is in the series (backtest)."""

import pandas as pd

from timellm_pipeline.series.panel import Panel

MOST_LINES = 20


def backtest_table(forecast: pd.DataFrame, series: Panel) -> str:
    """Text table of the mean absolute error of each channel over the forecast rows whose values are in the file.

    The text is empty if there is no such row.

    Args:
        forecast: table of `TimeLLM.forecast`.
        series: validated series in original units.
    """
    position = series.stamps_in_file.get_indexer(pd.DatetimeIndex(forecast["timestamp"]))
    number = forecast["channel"].map(series.number_of).to_numpy()
    row = position - series.first[number]  # within its series
    in_file = (position >= 0) & (row >= 0) & (row < series.lengths[number])
    in_file[in_file] = ~series.is_filled(number[in_file], row[in_file])  # interpolated, not measured
    known = forecast[in_file]
    if known.empty:
        return ""
    truth = series.values[series.offsets[number[in_file]] + row[in_file]]
    errors = (known["forecast"] - truth).abs().groupby(known["channel"], sort=False).mean()
    lines = [f"  {'channel':<16} {'MAE':>10}   (original units, {known['window_end'].nunique()} origins)"]
    lines += [f"  {channel:<16} {error:>10.4g}" for channel, error in errors.iloc[:MOST_LINES].items()]
    if len(errors) > MOST_LINES:
        lines.append(f"  … and {len(errors) - MOST_LINES:,} more; mean over all {errors.mean():.4g}")
    return "\n".join(lines)
