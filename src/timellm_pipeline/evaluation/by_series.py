"""Errors of each series of the test, as a table."""

from typing import Any

import pandas as pd

FEW = 16  # if there are more series, the log and the plot of the test show the worst and the best
SHOWN = 3  # worst and best series in the log


def series_table(models: dict[str, Any], windows: dict[str, int], truths: dict[str, float]) -> pd.DataFrame:
    """Errors of the shipped forecast by series, worst first.

    The columns are `channel, windows`, `volume` (share of the series in the sum of absolute true values, in percent),
    `mse, mae` (scaled units), `mase`, `smape`, `wape` (percent), `seasonal_naive` (its MSE in scaled units) and `skill`
    (1 - MSE / MSE of seasonal naive). Series are sorted by MASE, or by MSE where it is unknown. The mean of `wape` with
    the weights `volume` is the WAPE of all series.

    Args:
        models: `models` of `test_metrics`.
        windows: test windows of each series.
        truths: sum of the absolute true values of each series in these windows, in original units.
    """
    scaled, original = (models["timellm"][unit]["per_channel"] for unit in ("scaled", "original"))
    naive = models["seasonal_naive"]["scaled"]["per_channel"]
    table = pd.DataFrame(
        {
            "channel": list(scaled),
            "windows": [windows[name] for name in scaled],
            "volume": [truths[name] for name in scaled],
            **{error: [scaled[name][error] for name in scaled] for error in ("mse", "mae")},
            **{error: [original[name][error] for name in scaled] for error in ("mase", "smape", "wape")},
            "seasonal_naive": [naive[name]["mse"] for name in scaled],
        }
    ).astype({"mase": float, "smape": float, "wape": float})
    table["volume"] *= 100 / (table["volume"].sum() or float("nan"))
    table["skill"] = 1 - table["mse"] / table["seasonal_naive"].where(table["seasonal_naive"] > 0)
    return table.sort_values(["mase", "mse"], ascending=False, kind="stable").reset_index(drop=True)


def ranked_series(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `series_table` with a known MASE, worst first; all rows if only a few have one.

    A series whose MASE is unknown, such as one with constant training rows, is at the end of the table, but it is not
    the best one.
    """
    known = table[table["mase"].notna()]
    return known if len(known) >= 2 * SHOWN else table


def series_lines(table: pd.DataFrame) -> str:
    """The worst and the best series as text for the log; empty if there are few series."""
    if len(table) <= FEW:
        return ""
    ranked = ranked_series(table)
    chosen = pd.concat([ranked.head(SHOWN), ranked.tail(SHOWN)])
    columns = ["channel", "windows", "volume", "mse", "mase", "wape", "skill"]
    return chosen[columns].to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-")
