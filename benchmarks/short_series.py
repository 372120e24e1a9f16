"""The linear part on short series: pieces of the development list of suite.py, beside the best baseline.

    python benchmarks/short_series.py

A piece has one to three channels and 10 or 30 horizons of rows after four lookbacks, split 70 % / 10 % / 20 %. So its
validation has one to four horizons, which decide nothing alone (linear/fit.py). The ratio is the test MSE of the linear
part divided by the smallest test MSE of naive, seasonal naive and the plain ridge: the baseline is chosen on the test,
so that a ratio above 1 on a piece may be chance. It takes a minute. The list `suite` is not used.
"""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd

import suite
from quality_scores import LINEAR, RIDGE, best_baseline, measure, mse
from timellm_pipeline.parameters import parse_parameters
from timellm_pipeline.series.prepare import prepare

HOURLY, DAILY = (48, 12), (28, 7)
WINDOWS = {  # lookback and horizon by frequency
    **{"10min": (72, 12), "30min": HOURLY, "h": HOURLY, "D": DAILY, "B": DAILY},
    **{"7D": (52, 8), "MS": (24, 6), "QS-JAN": (16, 4)},
}
HORIZONS = (10, 30)
PIECES = 4  # of each series and length
FEWEST_VALUES = 3  # a piece with fewer different values of a channel is left out


def pieces(name: str, rng: np.random.Generator) -> Iterator[tuple[pd.DataFrame, int, int]]:
    """Iterator over (table, lookback, horizon) of random pieces of a series."""
    table, (seq_len, pred_len) = suite.load(name), WINDOWS[suite.BY_NAME[name].frequency]
    channels = list(table.columns[1:])
    for horizons in HORIZONS:
        rows = 4 * seq_len + horizons * pred_len
        for number in range(PIECES if rows <= len(table) else 0):
            several = 1 if number % 2 else 3
            chosen = [str(one) for one in rng.choice(channels, size=min(len(channels), several), replace=False)]
            first = int(rng.integers(0, len(table) - rows + 1))
            piece = table.iloc[first : first + rows][["date", *chosen]].reset_index(drop=True)
            if (piece[chosen].nunique() >= FEWEST_VALUES).all():
                yield piece, seq_len, pred_len


def ratios(piece: pd.DataFrame, seq_len: int, pred_len: int) -> tuple[float, float]:
    """Ratio of the test MSE of the linear part to that of the best baseline, and to that of the plain ridge."""
    window = {"seq_len": seq_len, "pred_len": pred_len, "patch_len": 4, "stride": 2, "window_step": 1}
    parameters = parse_parameters(
        {
            "split": {"method": "ratio"},
            "window": {**window, "target": piece.columns[1]},
            "evaluation": {"validation_step": 1, "test_step": 1},
        }
    )
    errors = measure(prepare(piece, parameters), parameters).errors
    ours = mse(errors[LINEAR])
    return ours / mse(errors[best_baseline(errors)]), ours / mse(errors[RIDGE])


def row(name: str, found: list[tuple[float, float]]) -> str:
    """A line of the table."""
    best, ridge = np.array(found).T
    return (
        f"{name:<20}{len(best):>8}{np.exp(np.log(best).mean()):>10.3f}{best.max():>9.2f}{(best > 1.05).mean():>12.0%}"
        f"{np.exp(np.log(ridge).mean()):>14.3f}{ridge.max():>9.2f}"
    )


def main() -> None:
    """Print a row for each series of the development list, and one for all."""
    logging.disable(logging.WARNING)  # that the intervals of so short a series are unreliable
    rng, everything = np.random.default_rng(0), []
    print("Ratio of test MSEs, linear part to the best baseline and to the plain ridge; geometric means")
    print(f"{'':<20}{'pieces':>8}{'to best':>10}{'largest':>9}{'above 1.05':>12}{'to ridge':>14}{'largest':>9}")
    for name in suite.DEVELOPMENT:
        found = [ratios(*piece) for piece in pieces(name, rng)]
        everything += found
        print(row(name, found), flush=True)
    print(row("all", everything))


if __name__ == "__main__":
    main()
