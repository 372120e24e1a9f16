"""How good forecasts are: on ETTh1 beside published numbers, and on the suite beside baselines and AutoETS.

    python benchmarks/quality.py --csv ETTh1.csv [--horizons 96 192 336 720] [--train] [--seeds 3]
    python benchmarks/quality.py --suite [--list suite|development] [--train]

`--csv`: borders of ETT, lookback 512, every test window, default parameters of the linear part. A horizon takes
one or two minutes. `--suite`: the series of suite.py (see there what to install), lookback and horizon of its entries,
70 % / 10 % / 20 % of the rows, every test window. It takes a few minutes. The list `development` is for choosing
settings; the list `suite` is for confirming them, which is done once.

The shipped forecast is the linear part plus alpha times a correction by the language model. Without `--train` alpha
is 0. `--train` trains the correction: for ETTh1 at the horizons of `--train-horizons` with each seed, for the suite
with the first seed, `--steps` steps of 32 windows each. Scoring every window of ETTh1 takes most of the time of a
training; `--validation-step 12` makes it shorter, but then the linear part is chosen on fewer windows too.

MSE and MAE are in scaled units. A difference or ratio has the 95 % interval of evaluation/significance.py, if there are
enough origins. The ratio of the suite is the MSE of the shipped forecast divided by the smallest test MSE of naive,
seasonal naive and the plain ridge; choosing the smallest one on the test makes the comparison harder. The rule for
AutoETS is in quality_ets.py; its columns use the same origins, one horizon apart, for both models.

The exit status is 1 if a goal is missed.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import suite
from quality_ets import ets_errors, ets_origins, find_ets
from quality_scores import LINEAR, RIDGE, Measured, Ratio, best_baseline, mae, measure, mse, ratio
from quality_training import Trained, train
from suite_entries import Entry
from suite_sources import SuiteError
from timellm_pipeline.errors import UserError
from timellm_pipeline.evaluation.significance import compare_origins
from timellm_pipeline.parameters import Parameters, parse_parameters
from timellm_pipeline.series.prepare import prepare
from timellm_pipeline.series.reading import RawFile

HORIZONS = (96, 192, 336, 720)
PUBLISHED = {  # test MSE on ETTh1: horizon 96, average of the four horizons; as printed in the papers
    "Time-LLM (Jin et al. 2024)": (0.362, 0.408),
    "Time-LLM, run again by Tan et al. 2024": (0.376, 0.418),
    "PatchTST (Nie et al. 2023)": (0.370, 0.413),
    "DLinear (Zeng et al. 2023)": (0.375, 0.422),
}
SOURCES = """\
  Jin et al. 2024: Time-LLM, ICLR. Tan et al. 2024: Are language models actually useful for time series forecasting?,
  NeurIPS. Nie et al. 2023: A time series is worth 64 words, ICLR. Zeng et al. 2023: Are transformers effective for
  time series forecasting?, AAAI. Their lookbacks differ, and some leave out the last incomplete batch of the test."""
FIRST_SEED = 2021
LEVELS = ("80", "95")


@dataclass(frozen=True)
class Goal:
    """A number that should not exceed a limit; None if it was not measured."""

    name: str
    limit: float
    value: float | None

    @property
    def missed(self) -> bool:
        """Whether it was measured and is above the limit, or is not a number."""
        return self.value is not None and not self.value <= self.limit

    def __str__(self) -> str:
        if self.value is None:
            return f"not measured  {self.name} <= {self.limit}"
        return f"{'MISSED' if self.missed else 'met':<12}  {self.name} <= {self.limit}: {self.value:.4f}"


def parameters_of(options: argparse.Namespace, split: str, window: dict[str, object]) -> list[Parameters]:
    """Default parameters, every training and test window, and a short training; for each seed."""
    steps = options.steps
    return [
        parse_parameters(
            {
                "split": {"method": split},
                "window": {"window_step": 1, **window},
                "backbone": {
                    "name": options.backbone,
                    "layers": None if options.backbone == "none" else options.layers,
                },
                "training": {
                    "max_steps": steps,
                    "max_epochs": 10_000,
                    "save_steps": steps,
                    "validate_steps": steps,
                    "learning_rate": 0.002,
                    "seed": FIRST_SEED + number,
                },
                "evaluation": {"validation_step": options.validation_step, "test_step": 1},
            }
        )
        for number in range(options.seeds)
    ]


def etth1(options: argparse.Namespace) -> list[Goal]:
    """Measure and print ETTh1; its goals."""
    raw = RawFile(str(options.csv), options.csv.read_bytes())
    shipped: dict[int, tuple[float, float]] = {}  # MSE and MAE
    for horizon in options.horizons:
        window: dict[str, object] = {"seq_len": 512, "pred_len": horizon}
        parameters = parameters_of(options, "ett_hour", window)
        measured = measure(prepare(raw, parameters[0]), parameters[0])
        print(horizon_table(measured, horizon), flush=True)
        errors = [measured.errors[LINEAR]]
        if options.train and horizon in options.train_horizons:
            errors = []
            for one in parameters:
                trained = train(measured, one)
                print(training_table(trained, one), flush=True)
                errors.append(trained.errors["shipped"])
        shipped[horizon] = _mean([mse(one) for one in errors]), _mean([mae(one) for one in errors])
        print()
    average = _mean([error for error, _ in shipped.values()])
    print(f"Test MSE and MAE of the shipped forecast{', mean of the seeds' if options.train else ', alpha = 0'}")
    for horizon, (squared, absolute) in shipped.items():
        print(f"  {horizon:<8} {squared:.4f}  {absolute:.4f}")
    print(f"  mean     {average:.4f}  {_mean([absolute for _, absolute in shipped.values()]):.4f}")
    at_96, of_all = shipped.get(96), average if set(shipped) == set(HORIZONS) else None
    print(published_table(at_96[0] if at_96 else None, of_all))
    return [
        Goal("ETTh1 96, MSE", 0.358, at_96[0] if at_96 else None),
        Goal("ETTh1 96, MAE", 0.387, at_96[1] if at_96 else None),
        Goal("ETTh1, average MSE of the four horizons", 0.398, of_all),
    ]


def horizon_table(measured: Measured, horizon: int) -> str:
    """Errors of the linear part and the baselines on ETTh1."""
    test = measured.data.windows("test")
    lines = [
        f"ETTh1, 512 -> {horizon}: {len(test):,} test windows of {len(test.origins()):,} origins",
        f"  {'':<16}{'validation MSE':>16}{'test MSE':>10}{'test MAE':>10}{'seconds':>9}"
        "   test MSE minus that of the plain ridge (95 % interval)",
    ]
    for name, errors in measured.errors.items():
        compared = compare_origins(errors[0], measured.errors[RIDGE][0], test.pred_len).summary()
        lines.append(
            f"  {name:<16}{measured.validation[name]:>16.4f}{mse(errors):>10.4f}{mae(errors):>10.4f}"
            f"{measured.seconds[name]:>9.1f}   {'' if name == RIDGE else compared}"
        )
    for split, shares in measured.coverage.items():
        lines.append(f"  inside the prediction intervals, {split}: {coverage_text(shares)}")
    return "\n".join(lines)


def coverage_text(shares: dict[str, float]) -> str:
    """Shares of true values inside the intervals of 80 and 95 %."""
    return ", ".join(f"{level} %: {shares[level]:.1%}" for level in LEVELS if level in shares)


def training_table(trained: Trained, parameters: Parameters) -> str:
    """Errors of one trained model and its parts."""
    lines = [f"  seed {parameters.training.seed}, {trained.seconds:.0f} s, alpha {trained.alpha:.3f}: {trained.reason}"]
    lines += [
        f"  {name:<16}{trained.validation[name]:>16.4f}{mse(errors):>10.4f}{mae(errors):>10.4f}"
        for name, errors in trained.errors.items()
    ]
    return "\n".join(lines)


def published_table(at_96: float | None, average: float | None) -> str:
    """Test MSE on ETTh1 beside published numbers."""
    lines = [f"\n{'Test MSE on ETTh1':<44}{'96':>8}{'average of 96, 192, 336, 720':>32}"]
    for name, values in {"shipped forecast": (at_96, average), **PUBLISHED}.items():
        shown = ["-" if value is None else f"{value:.3f}" for value in values]
        lines.append(f"  {name:<42}{shown[0]:>8}{shown[1]:>32}")
    return "\n".join([*lines, SOURCES, ""])


def on_suite(options: argparse.Namespace) -> list[Goal]:
    """Measure and print the series of a list; its goals."""
    auto_ets = find_ets()
    if auto_ets is None:
        print("note: AutoETS is left out, because statsforecast is not installed (pip install statsforecast)\n")
    names = suite.SUITE if options.list == "suite" else suite.DEVELOPMENT
    tables = {name: suite.load(name) for name in names}  # a missing package ends the run before it measures
    print(f"List {options.list}: test MSE in scaled units; interval: 95 %, of the ratio to the best baseline")
    print(SUITE_HEAD, flush=True)
    ratios: list[Ratio] = []
    for name, table in tables.items():
        found, line = suite_row(suite.BY_NAME[name], table, options, auto_ets)
        ratios.append(found)
        print(line, flush=True)
    limits = [one.low for one in ratios if one.low is not None]
    print(f"\n{len(ratios)} series, {len(limits)} with enough origins for an interval\n")
    return [
        Goal("suite, geometric mean of the ratios", 0.97, float(np.exp(_mean([np.log(one.value) for one in ratios])))),
        Goal("suite, largest lower limit of a ratio", 1.03, max(limits, default=None)),
    ]


SUITE_HEAD = (
    f"{'':<20}{'window':>9}{'origins':>9}{'alpha':>7}{'shipped':>9}{'naive':>9}{'seasonal':>9}{'ridge':>9}"
    f"   {'ratio to the best (interval)':<36}{'on':>5}{'shipped':>9}{'AutoETS':>9}{'ratio':>7}"
    f"{'inside 80 %: val.':>19}{'test':>7}{'95 %: val.':>12}{'test':>7}{'seconds':>9}"
)


def suite_row(entry: Entry, table: pd.DataFrame, options: argparse.Namespace, auto_ets: Any) -> tuple[Ratio, str]:
    """Ratio to the best baseline, and the row of the table, of one series."""
    start = time.perf_counter()
    window: dict[str, object] = {"seq_len": entry.seq_len, "pred_len": entry.pred_len, "target": entry.target}
    parameters = parameters_of(options, "ratio", window)[0]
    measured = measure(prepare(table, parameters), parameters)
    shipped, alpha = measured.errors[LINEAR], 0.0
    if options.train:
        trained = train(measured, parameters)
        shipped, alpha = trained.errors["shipped"], trained.alpha
    best = best_baseline(measured.errors)
    found = ratio(shipped, measured.errors[best], entry.pred_len)
    few = ets_origins(measured)
    cells = f"{len(few):>5}{mse(shipped[:, few]):>9.4f}"
    if auto_ets is None:
        cells += f"{'-':>9}{'-':>7}"
    else:
        other = mse(ets_errors(measured, auto_ets))
        cells += f"{other:>9.4f}{mse(shipped[:, few]) / other:>7.3f}"
    errors = [mse(one) for one in (shipped, *(measured.errors[name] for name in ("naive", "seasonal naive", RIDGE)))]
    inside = "".join(
        f"{measured.coverage[split].get(level, float('nan')):>{width}.1%}"
        for level, split, width in (
            ("80", "validation", 19),
            ("80", "test", 7),
            ("95", "validation", 12),
            ("95", "test", 7),
        )
    )
    line = (
        f"{entry.name:<20}{f'{entry.seq_len}->{entry.pred_len}':>9}{shipped.shape[1]:>9,}{alpha:>7.3f}"
        f"{''.join(f'{error:>9.4f}' for error in errors)}   {found!s:<36}{cells}{inside}"
        f"{time.perf_counter() - start:>9.1f}"
    )
    return found, line


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def main() -> int:
    """Print the tables and the goals. Exit status: 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="ETTh1.csv")
    parser.add_argument("--horizons", type=int, nargs="+", choices=HORIZONS, default=HORIZONS)
    parser.add_argument("--suite", action="store_true", help="measure the series of suite.py")
    parser.add_argument("--list", choices=("suite", "development"), default="suite")
    parser.add_argument("--train", action="store_true", help="train the correction")
    parser.add_argument("--train-horizons", type=int, nargs="+", choices=HORIZONS, default=[96])
    parser.add_argument("--seeds", type=int, default=3, help="trainings for each horizon of ETTh1")
    parser.add_argument("--steps", type=int, default=150, help="steps of a training")
    parser.add_argument("--validation-step", type=int, default=1, help="rows between validation windows")
    parser.add_argument("--backbone", default="smollm2", help="smollm2, none, or a local folder")
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    if options.csv is None and not options.suite:
        parser.error("give --csv ETTh1.csv, --suite or both")
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    goals: list[Goal] = []
    try:
        if options.csv is not None:
            goals += etth1(options)
        if options.suite:
            goals += on_suite(options)
    except OSError as error:
        raise SystemExit(f"error: cannot read {options.csv}: {error.strerror or error}") from error
    except (SuiteError, UserError) as error:
        raise SystemExit(f"error: {error}") from error
    print("Goals")
    for goal in goals:
        print(f"  {goal}")
    return int(any(goal.missed for goal in goals))


if __name__ == "__main__":
    sys.exit(main())
