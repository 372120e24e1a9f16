"""Errors of each series of the test, as a table."""

from typing import Any

import pandas as pd

FEW = 16  # series that are all in the log of the test
SHOWN = 3  # worst and best series in the log if there are more


def series_table(models: dict[str, Any], windows: dict[str, int]) -> pd.DataFrame:
    """Errors of the shipped forecast by series, worst first.

    The columns are `channel, windows`, `mse, mae` (scaled units), `mase`, `smape`, `wape` (percent), `seasonal_naive`
    (its MSE in scaled units) and `skill` (1 - MSE / MSE of seasonal naive). Series are sorted by MASE, or by MSE where
    it is unknown.

    Args:
        models: `models` of `test_metrics`.
        windows: test windows of each series.
    """
    scaled, original = (models["timellm"][unit]["per_channel"] for unit in ("scaled", "original"))
    naive = models["seasonal_naive"]["scaled"]["per_channel"]
    table = pd.DataFrame(
        {
            "channel": list(scaled),
            "windows": [windows[name] for name in scaled],
            **{error: [scaled[name][error] for name in scaled] for error in ("mse", "mae")},
            **{error: [original[name][error] for name in scaled] for error in ("mase", "smape", "wape")},
            "seasonal_naive": [naive[name]["mse"] for name in scaled],
        }
    ).astype({"mase": float, "smape": float, "wape": float})
    table["skill"] = 1 - table["mse"] / table["seasonal_naive"].where(table["seasonal_naive"] > 0)
    return table.sort_values(["mase", "mse"], ascending=False, kind="stable").reset_index(drop=True)


def series_lines(table: pd.DataFrame) -> str:
    """The worst and the best series as text for the log; empty if there are few series."""
    if len(table) <= FEW:
        return ""
    chosen = pd.concat([table.head(SHOWN), table.tail(SHOWN)])
    columns = ["channel", "windows", "mse", "mase", "wape", "skill"]
    return chosen[columns].to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-")
