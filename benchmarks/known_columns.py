"""What known columns are worth: generated promotions, and a control with columns of noise; the linear part alone.

    python benchmarks/known_columns.py

60 stores, 900 days, 56 -> 7. A promotion lifts the sales of a store by 20 to 80 %. Errors are those of the test windows
in scaled units, by origin; three sets of data.
"""

import argparse

import numpy as np
import pandas as pd

from peers import environment
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.evaluation.significance import Comparison, compare_origins
from timellm_pipeline.linear.fit import fit_linear
from timellm_pipeline.model.parts import forecast_parts
from timellm_pipeline.parameters import parse_parameters
from timellm_pipeline.series.prepare import prepare

STORES, DAYS, HORIZON = 60, 900, 7
COLUMNS = {"none": [], "promotion": ["promotion"], "promotion and price": ["promotion", "price"], "noise": ["noise"]}


def sales(seed: int) -> pd.DataFrame:
    """Daily sales with promotions, prices and a column of noise."""
    rng, tables, day = np.random.default_rng(seed), [], np.arange(DAYS)
    for number in range(STORES):
        promotion = (rng.random(DAYS) < 0.15).astype(float)
        price = 10 + 0.3 * np.repeat(rng.standard_normal(DAYS // 30), 30)
        week = 0.3 * np.sin((day + rng.integers(7)) * 2 * np.pi / 7)
        lift = rng.uniform(0.2, 0.8)
        mean = 1 + week + lift * promotion - 0.3 * (price - 10)
        facts = {
            "unique_id": f"store {number}",
            "ds": pd.date_range("2022-01-01", periods=DAYS, freq="D"),
            "y": rng.uniform(50, 200) * (mean + 0.15 * rng.standard_normal(DAYS)),
            "promotion": promotion,
            "price": price,
            "noise": rng.standard_normal(DAYS),
        }
        tables.append(pd.DataFrame(facts))
    return pd.concat(tables, ignore_index=True)


def errors_of(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """MSE of each test origin of the linear part with known columns."""
    others = [name for name in ("promotion", "price", "noise") if name not in columns]
    parameters = parse_parameters(
        {
            "data": {"known_columns": columns},
            "window": {"seq_len": 56, "pred_len": HORIZON, "patch_len": 8, "stride": 4},
            "split": {"train_ratio": 0.5, "test_ratio": 0.3},
            "evaluation": {"validation_step": 1, "test_step": HORIZON},
        }
    )
    data = prepare(table.drop(columns=others), parameters).training
    part = fit_linear(data, parameters.window, parameters.model, parameters.evaluation)
    scores = TestScores(data.windows("test"), data.scaler)
    for parts in forecast_parts(part, None, data.windows("test"), 1024):
        scores.add(parts.which, parts.forecast(0.0), parts.truth)
    return scores.origin_errors()[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(environment())
    for seed in range(options.seeds):
        table = sales(seed)
        errors = {name: errors_of(table, columns) for name, columns in COLUMNS.items()}
        print(f"\ndata {seed}: test MSE, {len(errors['none'])} origins; minus that without known columns")
        for name, found in errors.items():
            difference: Comparison = compare_origins(found, errors["none"], 1)
            print(f"  {name:<20} {found.mean():.4f}  {'' if name == 'none' else difference.summary()}")


if __name__ == "__main__":
    main()
