"""A synthetic hourly series in the form of an ETT file, for a first run that needs no download.

It is made up: daily and weekly cycles, six loads, an oil temperature that follows the loads with a delay, slow drift
and noise. `python benchmarks/synthetic.py data/01_raw/synthetic_hourly.csv` writes the committed file.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")
NUM_ROWS = 14_400
SEED = 20_260_101


def synthetic_series(num_rows: int = NUM_ROWS, seed: int = SEED) -> pd.DataFrame:
    """`date`, six loads and the target `OT`: hourly, `num_rows` rows, the same for the same seed."""
    rng = np.random.default_rng(seed)
    hour = np.arange(num_rows)
    day, week = 2 * np.pi * hour / 24, 2 * np.pi * hour / 168
    frame = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=num_rows, freq="h")})
    total = np.zeros(num_rows)
    for number, name in enumerate(LOADS):
        level, swing = 4 + 3 * number % 7, 1.0 + 0.4 * number
        phase = 0.5 * number
        # The day's swing itself breathes over the week and drifts, so that yesterday is a good guess, not the answer.
        daily = (1 + 0.3 * np.sin(week + phase)) * np.sin(day - 1.5 + phase) + 0.35 * np.sin(2 * day + phase)
        weekly = 0.6 * np.cos(week - 1 + phase)
        noise = _red_noise(rng, num_rows, memory=0.85, size=0.28)
        drift = _red_noise(rng, num_rows, memory=0.9995, size=0.02)
        load = level + swing * (daily + weekly + noise + drift)
        frame[name] = load.round(3)
        total += swing * (daily + weekly + noise) / len(LOADS)
    lagged = np.zeros(num_rows)
    for row in range(1, num_rows):  # oil warms with the load of the last hours
        lagged[row] = 0.9 * lagged[row - 1] + 0.1 * total[row - 1]
    ambient = 6 * np.sin(2 * np.pi * hour / (24 * 365)) + _red_noise(rng, num_rows, memory=0.999, size=0.06)
    frame["OT"] = (20 + 9 * lagged + ambient + 0.25 * rng.standard_normal(num_rows)).round(3)
    return frame


def _red_noise(rng: np.random.Generator, num_rows: int, memory: float, size: float) -> np.ndarray:
    """First-order autoregression: each row keeps `memory` of the last one."""
    shocks = size * rng.standard_normal(num_rows)
    noise = np.zeros(num_rows)
    for row in range(1, num_rows):
        noise[row] = memory * noise[row - 1] + shocks[row]
    return noise


if __name__ == "__main__":
    synthetic_series().to_csv(Path(sys.argv[1]), index=False, lineterminator="\n")
