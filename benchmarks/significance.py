"""How often the test of `evaluation/significance.py` is wrong, how much it detects, and what other tests do.

`python benchmarks/significance.py` simulates loss differences of two models with equal expected loss and prints the
rates of false "better" or "worse" by number of blocks; it takes two to three minutes on one core. A size is accepted if
the exact upper 95 % limit of every rate is at most 5 %.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from timellm_pipeline.evaluation.significance import MIN_BLOCKS, num_cosines, standard_error, t_quantile

Series = np.ndarray  # [rows or origins, replications], float32
SETTINGS = {1: (1,), 12: (1, 24), 24: (1, 12, 24), 96: (1, 12, 24)}  # pred_len: steps between origins
SIZES = (3, 5, 8, 10, 12, 15, 16, 20, 24, 30, 32, 40, 60, 64, 120, 240)  # blocks; multiples of 8 are the hardest
SEASON = 24
MEMORY = 0.9  # of the autoregression that is forecast
NOISE = 0.3  # mean square of what a forecast adds to the best one, as a share of the best one's MSE
NOISES = (0.1, 0.2)  # standard deviation of a block's mean loss difference, as shares of the loss
REPLICATIONS, CHUNK, SEED = 8_000, 1_000, 20_260_101


def red_noise(rng: np.random.Generator, rows: int, reps: int, length: float) -> Series:
    """First-order autoregression of variance 1 whose correlation falls to 1/e after `length` rows."""
    memory = np.float32(math.exp(-1 / length))
    noise = rng.standard_normal((rows, reps), dtype=np.float32)
    noise[1:] *= np.sqrt(1 - memory**2)
    for row in range(1, rows):
        noise[row] += memory * noise[row - 1]
    return noise


def mean_errors(shocks: Series, pred_len: int) -> tuple[Series, float]:
    """Mean over the horizon of the best forecast's errors, for every origin, and its MSE.

    An error is the sum of the shocks since the origin, which the autoregression forgets: neighbouring origins share
    all but one shock.
    """
    steps = np.arange(1, pred_len + 1)
    weights = (1 - MEMORY ** (pred_len - steps + 1)) / (1 - MEMORY) / pred_len
    mse = float(np.mean((1 - MEMORY ** (2 * steps)) / (1 - MEMORY**2)))
    rows = len(shocks) - pred_len + 1
    if pred_len == 1:
        return shocks * np.float32(weights[0]), mse
    size = 1 << (len(shocks) - 1).bit_length()
    transfer = np.conj(np.fft.rfft(weights, size)).astype(np.complex64)[:, None]
    parts = [
        np.fft.irfft(np.fft.rfft(shocks[:, first : first + 128], size, axis=0) * transfer, size, axis=0)[:rows]
        for first in range(0, shocks.shape[1], 128)
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32), mse


def two_forecasts(
    rng: np.random.Generator, rows: int, reps: int, pred_len: int, kind: str = "", length: float = 0.25
) -> Series:
    """Loss differences of two forecasts of an autoregression with equal expected squared error.

    Each is the best forecast plus an offset over the whole horizon, as if it misread a disturbance of its input.

    Args:
        kind: `t3`: shocks with Student's t distribution with 3 degrees of freedom. `season`: one forecast is the worse
            one by day and the other by night. `skewed`: theirs has a constant offset.
        length: correlation length of the disturbance, in horizons.
    """
    shocks = rng.standard_normal((rows + pred_len - 1, reps), dtype=np.float32)
    if kind == "t3":
        shocks /= np.sqrt(rng.chisquare(3, shocks.shape).astype(np.float32))
    errors, mse = mean_errors(shocks, pred_len)
    size = np.float32(math.sqrt(NOISE * mse))
    ours, theirs = (size * red_noise(rng, rows, reps, length * pred_len) for _ in range(2))
    if kind == "skewed":
        theirs[:] = size
    if kind == "season":
        hour = np.arange(rows)[:, None] + rng.uniform(0, SEASON, reps)
        day = 0.8 * np.sin(2 * np.pi * hour / SEASON).astype(np.float32)
        ours, theirs = ours * np.sqrt(1 + day), theirs * np.sqrt(1 - day)
    differences = ours**2 - theirs**2 - 2 * errors * (ours - theirs)
    return differences / differences.std()


SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # standard deviation by position in the test, 0 to 1
    "growing": lambda place: 1 + 3 * place,
    "shock": lambda place: 1 + 2 * ((place > 0.4) & (place < 0.65)),
    "late": lambda place: 1 + 3 * (place > 0.75),
}
PROCESSES: dict[str, str] = {
    "iid": "independent normal differences, without overlap",
    "overlap": "two forecasts of an autoregression, equally noisy; horizons overlap",
    "season": "overlap, each forecast better at half of the day",
    "slow": "overlap plus a regime as large, with a correlation length of two horizons",
    "regime": "the slow regime alone",
    "t3": "overlap, shocks with Student's t distribution with 3 degrees of freedom",
    "volatile": "overlap times a lognormal volatility that lasts one horizon",
    "skewed": "overlap, ours has rare large errors that last one horizon, theirs steady ones",
    "growing": "overlap, the standard deviation grows from 1 to 4 over the test",
    "shock": "overlap, the standard deviation is 3 in a quarter of the test, 1 elsewhere",
    "late": "overlap, the standard deviation is 4 in the last quarter, 1 before",
}
ORDINARY = ("iid", "overlap", "season", "growing")


def simulate(rng: np.random.Generator, rows: int, reps: int, pred_len: int) -> Iterator[tuple[str, Series]]:
    """Loss differences of every process, one origin a row. Processes of `SCALES` are `overlap` before their scale."""
    overlap = two_forecasts(rng, rows, reps, pred_len)
    for name in ("overlap", *SCALES):
        yield name, overlap
    yield "volatile", overlap * np.exp(1.4 * red_noise(rng, rows, reps, pred_len))
    regime = red_noise(rng, rows, reps, 2 * pred_len)
    yield "slow", overlap + regime
    yield "regime", regime
    del overlap, regime
    yield "iid", rng.standard_normal((rows, reps), dtype=np.float32)
    yield "season", two_forecasts(rng, rows, reps, pred_len, "season")
    yield "t3", two_forecasts(rng, rows, reps, pred_len, "t3")
    yield "skewed", two_forecasts(rng, rows, reps, pred_len, "skewed", length=1)


@dataclass
class Count:
    """Verdicts of one process, setting and number of blocks."""

    tests: int = 0
    better: int = 0
    worse: int = 0
    detected: tuple[int, ...] = (0,) * len(NOISES)

    def add(self, differences: Series, block: int) -> None:
        """Test every replication, as it is and with a true improvement of 10 % of the loss."""
        cosines = num_cosines(len(differences), block)
        margin = t_quantile(0.975, cosines) * standard_error(differences, cosines)
        means = differences.mean(axis=0)
        spread = differences[: len(differences) // block * block].reshape(-1, block, len(means)).mean(axis=1).std()
        self.tests += len(means)
        self.better += int((means + margin < 0).sum())
        self.worse += int((means - margin > 0).sum())
        found = (int((means + margin < 0.1 / noise * spread).sum()) for noise in NOISES)
        self.detected = tuple(old + new for old, new in zip(self.detected, found))

    def rate(self) -> float:
        """The larger one of the rates of `better` and `worse`."""
        return max(self.better, self.worse) / self.tests


Counts = dict[tuple[str, int, int, int], Count]  # by process, pred_len, step, blocks


def count_verdicts(replications: int) -> Counts:
    """Verdicts by process, setting and number of blocks. Shorter tests are the first origins of the longest one."""
    rng, counts = np.random.default_rng(SEED), Counts()
    for pred_len, steps in SETTINGS.items():
        for _ in range(replications // CHUNK):
            for name, rows in simulate(rng, max(SIZES) * max(pred_len, *steps), CHUNK, pred_len):
                for step in steps:
                    if name == "season" and step % SEASON == 0:
                        continue  # origins at one hour: the expected losses differ
                    block = -(-pred_len // step)
                    origins = np.ascontiguousarray(rows[::step])
                    for blocks in SIZES:
                        used = origins[: blocks * block]
                        if name in SCALES:
                            place = (np.arange(len(used)) + 0.5) / len(used)
                            used = used * SCALES[name](place).astype(np.float32)[:, None]
                        counts.setdefault((name, pred_len, step, blocks), Count()).add(used, block)
    return counts


def upper_limit(hits: int, tests: int) -> float:
    """Exact upper 95 % limit of a rate (Clopper and Pearson 1934): with it, so few hits have a chance of 5 %."""
    logs = [math.lgamma(tests + 1) - math.lgamma(k + 1) - math.lgamma(tests - k + 1) for k in range(hits + 1)]
    low, high = hits / tests, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        chance = sum(
            math.exp(log + k * math.log(middle) + (tests - k) * math.log1p(-middle)) for k, log in enumerate(logs)
        )
        low, high = (middle, high) if chance > 0.05 else (low, middle)
    return high


def alternatives(differences: Series, block: int) -> dict[str, tuple[Series, Series, float]]:
    """Means, standard errors and critical values of other tests, and of cosines in other numbers."""
    count, means = len(differences), differences.mean(axis=0)
    blocks = count // block
    centred = differences - means
    found = {}
    for per_cosine in (4, 6, 8, 10):
        cosines = max(2, blocks // per_cosine)
        found[f"cosines, 1 per {per_cosine}"] = (standard_error(differences, cosines), t_quantile(0.975, cosines))
    for label, groups in (("means of blocks, t", blocks), ("means of groups, t", max(3, blocks // 8 + 1))):
        edges = np.linspace(0, count, groups + 1).round().astype(int)
        group_means = np.add.reduceat(differences, edges[:-1], axis=0) / np.diff(edges)[:, None]
        found[label] = (group_means.std(axis=0, ddof=1) / math.sqrt(groups), t_quantile(0.975, groups - 1))
    lags = min(4 * block, count)
    covariances = [(centred[lag:] * centred[: count - lag]).sum(axis=0) / count for lag in range(lags)]
    flat = covariances[0] + 2 * sum(covariances[1:block])
    small = (count + 1 - 2 * block + block * (block - 1) / count) / count
    error = np.sqrt(np.where(flat > 0, flat, np.inf) / count / small)
    found["DM, h-1 lags, HLN"] = (error, t_quantile(0.975, count - 1))
    weighted = covariances[0] + 2 * sum((1 - lag / lags) * covariances[lag] for lag in range(1, lags))
    share = lags / count
    critical = 1.96 + 2.9694 * share + 0.416 * share**2 - 0.5324 * share**3  # Kiefer and Vogelsang 2005
    found["DM, Bartlett, fixed b"] = (np.sqrt(weighted / count), critical)
    sums = np.cumsum(np.concatenate([0 * differences[:1], centred, centred[: block - 1]]), axis=0, dtype=np.float64)
    drawn = (sums[block:] - sums[:-block]) / block  # the bootstrap's distribution, nearly normal
    found["block bootstrap"] = (drawn.std(axis=0) / math.sqrt(blocks), 1.96)
    return {label: (means, *rest) for label, rest in found.items()}


def print_alternatives(replications: int, pred_len: int = 12) -> None:
    """Largest rate of one-sided false positives of other tests over all processes, horizons of 12 and step 1."""
    rng, sizes = np.random.default_rng(SEED + 1), [size for size in SIZES if 5 <= size <= 60]
    rates: dict[str, dict[int, dict[str, float]]] = {}
    for name, rows in simulate(rng, max(sizes) * pred_len, replications, pred_len):
        for size in sizes:
            used = rows[: size * pred_len]
            if name in SCALES:
                used = used * SCALES[name]((np.arange(len(used)) + 0.5) / len(used)).astype(np.float32)[:, None]
            for label, (means, error, critical) in alternatives(used, pred_len).items():
                wrong = max(np.mean(means < -critical * error), np.mean(means > critical * error))
                rates.setdefault(label, {}).setdefault(size, {})[name] = float(wrong)
    print(f"\nOther tests: one-sided false positives in % (overlap / largest of all processes), {replications:,} tests")
    print(f"{'blocks':<24}" + "".join(f"{size:>13}" for size in sizes))
    for label, by_size in rates.items():
        cells = (f"{100 * by_size[size]['overlap']:.1f} / {100 * max(by_size[size].values()):.1f}" for size in sizes)
        print(f"{label:<24}" + "".join(f"{cell:>13}" for cell in cells))


def print_rates(counts: Counts) -> bool:
    """Tables of false positives; returns whether every accepted size keeps its promise."""
    print("One-sided false positives in % (largest over settings and sides) / exact upper 95 % limit")
    print(f"{'blocks':<10}" + "".join(f"{size:>11}" for size in SIZES))
    keeps = True
    for name in PROCESSES:
        cells = []
        for size in SIZES:
            chosen = [count for key, count in counts.items() if key[0] == name and key[3] == size]
            worst = max(chosen, key=Count.rate)
            limit = upper_limit(max(worst.better, worst.worse), worst.tests)
            keeps &= size < MIN_BLOCKS or limit <= 0.05
            cells.append(f"{100 * worst.rate():.1f} / {100 * limit:.1f}")
        print(f"{name:<10}" + "".join(f"{cell:>11}" for cell in cells))
    print("\nTwo-sided false positives in % (largest over settings)")
    for name in PROCESSES:
        chosen = {size: [c for key, c in counts.items() if key[0] == name and key[3] == size] for size in SIZES}
        cells = [f"{max(100 * (c.better + c.worse) / c.tests for c in chosen[size]):.1f}" for size in SIZES]
        print(f"{name:<10}" + "".join(f"{cell:>11}" for cell in cells))
    print("\nOne-sided false positives in % by setting (largest over processes and sides)")
    for pred_len, steps in SETTINGS.items():
        for step in steps:
            rates = [max(c.rate() for key, c in counts.items() if key[1:] == (pred_len, step, size)) for size in SIZES]
            print(f"{pred_len:>3} by {step:<3}" + " " + "".join(f"{100 * rate:>11.1f}" for rate in rates))
    return keeps


def print_power(counts: Counts) -> bool:
    """Tables of detected improvements of 10 % of the loss, for two noise levels.

    Returns whether at least half of them are detected at 30 blocks with the smaller noise, by the ordinary processes.
    """
    detects = True
    for number, noise in enumerate(NOISES):
        print("\n10 % better detected, in % (smallest over settings)")
        print(f"the standard deviation of a block's mean difference is {noise:.0%} of the loss")
        for name in PROCESSES:
            chosen = {size: [c for key, c in counts.items() if key[0] == name and key[3] == size] for size in SIZES}
            shares = {size: min(c.detected[number] / c.tests for c in chosen[size]) for size in SIZES}
            detects &= number > 0 or name not in ORDINARY or shares[30] >= 0.5
            print(f"{name:<10}" + "".join(f"{100 * share:>11.0f}" for share in shares.values()))
    return detects


def main() -> int:
    """Print all tables; 1 if a rate of an accepted size may be above 5 %, or too little is detected."""
    started = time.perf_counter()
    for name, meaning in PROCESSES.items():
        print(f"{name:<10}{meaning}")
    print(f"Accepted: at least {MIN_BLOCKS} blocks. The rates of smaller sizes are those of two cosines.\n")
    counts = count_verdicts(REPLICATIONS)
    keeps = print_rates(counts)
    detects = print_power(counts)
    print_alternatives(CHUNK)
    print(f"\n{'passed' if keeps else 'FAILED'}: upper limit at most 5 % at every accepted size and process")
    print(f"{'passed' if detects else 'FAILED'}: half of the improvements of 10 % detected at 30 blocks")
    print(f"{time.perf_counter() - started:.0f} s")
    return 0 if keeps and detects else 1


if __name__ == "__main__":
    sys.exit(main())
