"""How often a retraining promotes a candidate that is not better, and how soon one that is.

    python benchmarks/promotion_power.py [--years 100]

Part 1, single decisions: the gate `champion: significantly better` at every accepted test size, on loss differences of
two models with equal expected loss (a false promotion is one-sided) and with a true improvement of 10 %. A refusal for
too few origins is no success: such sizes are not in the table.

Part 2, years of 52 weekly retrainings: a generated hourly series, ridge regressions on all rows before validation and
test, as successive models with alpha 0 are, and the gate itself (`retraining/gates.py difference_gate`). The tests of
neighbouring weeks overlap. The loss of a champion is that in the week after each decision, over the whole year, as a
share of that of `never`; the first promotion is the median over the years with any. Six minutes on two cores.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field

import numpy as np

from significance import NOISES, PROCESSES, REPLICATIONS, SIZES, count_verdicts, red_noise, upper_limit
from timellm_pipeline.evaluation.significance import MIN_BLOCKS
from timellm_pipeline.parameters import GatesParams
from timellm_pipeline.retraining.gates import difference_gate

WEEK, WEEKS, HISTORY = 168, 52, 52 * 168  # rows of a week, retrainings of a year, rows before the first one
SEQ_LEN, PRED_LEN, SEASON, PENALTY = 72, 24, 24, 10.0
CHANGE = 10  # week of the change, in scenarios with one
BEFORE, AFTER = (0.8, 0.6), (0.5, 0.9)  # autoregression: of the row before, of the day before
HORIZONS = (16, 24, 32)  # test sizes
SEED = 20_261_128

SCENARIOS = {
    "equal": "all models have the same expected loss: the first fit, with noise of its own that costs 2 % of the loss",
    "still": "the process does not change; models improve a little, because the history grows",
    "10 % better": f"the first fit with noise that costs 11 % of the loss, and without noise from week {CHANGE} on",
    "slow drift": "the autoregression changes evenly over the year",
    "sudden change": f"the autoregression changes in week {CHANGE}",
}
POLICIES = {
    "never": None,
    "better": GatesParams(),
    "fresh, 2 %": GatesParams(prefer="fresh"),
    "fresh, 0 %": GatesParams(prefer="fresh", tolerance=0.0),
    "always": None,
}


def make_series(rng: np.random.Generator, scenario: str, years: int) -> np.ndarray:
    """Series [years, rows]: a seasonal autoregression whose shocks have a volatility that lasts a week."""
    rows = HISTORY + (WEEKS + 1) * WEEK
    place = np.clip((np.arange(rows) - HISTORY) / (WEEKS * WEEK), 0, 1)
    if scenario == "sudden change":
        place = (np.arange(rows) >= HISTORY + CHANGE * WEEK).astype(float)
    elif scenario != "slow drift":
        place = np.zeros(rows)
    shocks = rng.standard_normal((rows, years), dtype=np.float32)
    shocks *= np.exp(0.3 * red_noise(rng, rows, years, WEEK))
    values = np.zeros((rows, years), dtype=np.float32)
    for row in range(SEASON + 1, rows):
        near, day = (1 - place[row]) * np.array(BEFORE) + place[row] * np.array(AFTER)
        values[row] = near * values[row - 1] + day * values[row - SEASON]
        values[row] += shocks[row] - near * day * values[row - SEASON - 1]
    return np.ascontiguousarray(values.T)


def windows(values: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and true values [years, origins, points] of the windows whose true values start in these rows."""
    found = np.lib.stride_tricks.sliding_window_view(values, SEQ_LEN + PRED_LEN, axis=1)
    found = found[:, first - SEQ_LEN : last - SEQ_LEN]
    return np.ascontiguousarray(found[..., :SEQ_LEN]), np.ascontiguousarray(found[..., SEQ_LEN:])


@dataclass
class Fit:
    """Sums of products of the training windows of every year, to which each week adds its own."""

    values: np.ndarray
    end: int = SEQ_LEN
    squares: np.ndarray | float = 0.0
    products: np.ndarray | float = 0.0

    def until(self, end: int) -> np.ndarray:
        """Ridge regressions [years, SEQ_LEN, PRED_LEN] on all windows whose true values lie before row `end`."""
        last = end - PRED_LEN + 1
        while self.end < last:
            x, y = windows(self.values, self.end, min(self.end + 1000, last))
            transposed = x.transpose(0, 2, 1)
            self.squares, self.products = self.squares + transposed @ x, self.products + transposed @ y
            self.end = min(self.end + 1000, last)
        return np.linalg.solve(self.squares + PENALTY * np.eye(SEQ_LEN), self.products).astype(np.float32)


@dataclass
class Year:
    """What a policy did in every year of a scenario.

    Attributes:
        champion: weights of the champion of each year.
        promotions: whether a candidate was promoted, one array for each week.
        losses: MSE of the champion in the week after each decision.
    """

    champion: np.ndarray
    promotions: list[np.ndarray] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)


def simulate(rng: np.random.Generator, scenario: str, horizons: int, years: int) -> dict[str, Year]:
    """Retrain every week of every year, with each policy."""
    values = make_series(rng, scenario, years)
    fit, test_rows = Fit(values), (horizons + 1) * PRED_LEN - 1
    state: dict[str, Year] = {}
    for week in range(WEEKS + 1):
        now = HISTORY + week * WEEK
        x, y = windows(values, now - test_rows, now - PRED_LEN + 1)
        after_x, after_y = windows(values, now, now + WEEK - PRED_LEN + 1)
        share = {"equal": 0.02, "10 % better": 0.11 * (week < CHANGE)}.get(scenario)
        candidate = fit.until((HISTORY if share is not None else now) - 2 * test_rows)
        errors = ((x @ candidate - y) ** 2).mean(axis=(1, 2))
        noise = rng.standard_normal(candidate.shape, dtype=np.float32)
        size = ((x @ noise) ** 2).mean(axis=(1, 2))
        candidate = candidate + noise * np.sqrt((share or 0) * errors / size)[:, None, None]
        errors = ((x @ candidate - y) ** 2).mean(axis=2)
        for name, gates in POLICIES.items():
            if week == 0:
                state[name] = Year(candidate)
                continue
            year = state[name]
            promoted = np.full(years, name == "always")
            if gates is not None:
                champion_errors = ((x @ year.champion - y) ** 2).mean(axis=2)
                pairs = zip(errors, champion_errors)
                promoted = np.array([bool(difference_gate(*pair, PRED_LEN, gates).passed) for pair in pairs])
            year.champion = np.where(promoted[:, None, None], candidate, year.champion)
            year.promotions.append(promoted)
            year.losses.append(((after_x @ year.champion - after_y) ** 2).mean(axis=(1, 2)))
    return state


def print_years(years: int) -> None:
    """One table for each scenario."""
    for scenario, meaning in SCENARIOS.items():
        print(f"\n{scenario}: {meaning}; {years} years of {WEEKS} weekly retrainings")
        print(f"{'':<26}{'promotions':>11}{'years with':>12}{'first one':>11}{'loss of the':>13}")
        print(f"{'test':<13}{'policy':<13}{'a year':>11}{'any':>12}{'(week)':>11}{'champion':>13}")
        for horizons in HORIZONS:
            found = simulate(np.random.default_rng(SEED), scenario, horizons, years)
            reference = np.mean(found["never"].losses)
            for name, year in found.items():
                promotions = np.stack(year.promotions)
                any_year = promotions.any(axis=0)
                first = f"{np.median(promotions.argmax(axis=0)[any_year]) + 1:.0f}" if any_year.any() else "-"
                cells = f"{promotions.sum(axis=0).mean():>11.1f}{any_year.mean():>12.0%}{first:>11}"
                loss = f"{np.mean(year.losses) / reference - 1:+.1%}"
                print(f"{f'{horizons} horizons':<13}{name:<13}{cells}{loss:>13}")


def print_decisions() -> bool:
    """False promotions and power of one decision. Returns whether every upper limit is at most 5 %."""
    counts, keeps = count_verdicts(REPLICATIONS), True
    sizes = [size for size in SIZES if size >= MIN_BLOCKS]
    print("False promotions in % of the attempts (largest over settings) / exact upper 95 % limit")
    print(f"{'horizons':<10}" + "".join(f"{size:>11}" for size in sizes))
    for name in PROCESSES:
        cells = []
        for size in sizes:
            chosen = [count for key, count in counts.items() if key[0] == name and key[3] == size]
            worst = max(chosen, key=lambda count: count.better / count.tests)
            limit = upper_limit(worst.better, worst.tests)
            keeps &= limit <= 0.05
            cells.append(f"{100 * worst.better / worst.tests:.1f} / {100 * limit:.1f}")
        print(f"{name:<10}" + "".join(f"{cell:>11}" for cell in cells))
    for number, noise in enumerate(NOISES):
        print("\nPromotions of a candidate that is 10 % better, in % (smallest over settings)")
        print(f"the standard deviation of a horizon's mean loss difference is {noise:.0%} of the loss")
        for name in PROCESSES:
            chosen = {size: [c for key, c in counts.items() if key[0] == name and key[3] == size] for size in sizes}
            shares = [min(c.detected[number] / c.tests for c in chosen[size]) for size in sizes]
            print(f"{name:<10}" + "".join(f"{100 * share:>11.0f}" for share in shares))
    return keeps


def main() -> int:
    """Print all tables; 1 if a false promotion may be more frequent than 5 % of the attempts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=100, help="simulated years of each scenario")
    options, started = parser.parse_args(), time.perf_counter()
    keeps = print_decisions()
    print_years(options.years)
    print(f"\n{'passed' if keeps else 'FAILED'}: false promotions at most 5 % (upper limit) at every accepted size")
    print(f"{time.perf_counter() - started:.0f} s")
    return 0 if keeps else 1


if __name__ == "__main__":
    sys.exit(main())
