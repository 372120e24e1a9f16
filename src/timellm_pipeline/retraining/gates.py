"""The gates that a candidate must pass to become champion, each with the value found and its limit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from timellm_pipeline.evaluation.comparison import Scored
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.evaluation.significance import compare_origins
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import GatesParams

MARKS = {True: "passed", False: "REFUSED", None: "-"}
BUCKETS = 4  # parts of the horizon that are compared
ROUNDING = 1e-10  # MSE in scaled units that float32 forecasts of a series without noise may have


@dataclass(frozen=True)
class Gate:
    """One gate.

    Attributes:
        passed: None if the gate does not apply (switched off, or no champion yet).
        retry: whether it failed for a reason that lies in the machine, so that the candidate is not decided by it.
    """

    gate: str
    passed: bool | None
    found: str
    limit: str
    retry: bool = False

    def facts(self) -> dict[str, Any]:
        """The gate as plain values for the report."""
        return {"gate": self.gate, "passed": self.passed, "found": self.found, "limit": self.limit}


def floor_gates(reports: dict[str, Any], gates: GatesParams) -> list[Gate]:
    """The gates that compare the candidate with the baselines; they apply to the first champion as well."""
    mse = {name: report["scaled"]["mse"] for name, report in reports.items()}
    passed = mse["timellm"] < max(mse["seasonal_naive"], ROUNDING) if gates.seasonal_naive else None
    limit = f"below {mse['seasonal_naive']:.4f}" + ("" if gates.seasonal_naive else ", off")
    mase = reports["timellm"]["original"]["mase"]
    ratio = (mse["timellm"] + ROUNDING) / (mse["linear"] + ROUNDING)
    return [
        limit_gate("floor: MASE", mase, gates.mase, "unknown" if mase is None else f"{mase:.3f}"),
        Gate("floor: seasonal_naive", passed, f"MSE {mse['timellm']:.4f}", limit),
        limit_gate("floor: linear", ratio, gates.linear, f"{ratio:.3f} times the MSE of a plain ridge"),
    ]


def champion_gates(
    candidate: Scored,
    champion: Scored,
    saved: SavedModel,
    first_truth: pd.Timestamp,
    block: int,
    gates: GatesParams,
) -> list[Gate]:
    """The gates that compare the candidate with the champion on the newest windows.

    They check that the champion has not seen the test, the mean error, the worst slice, and the mean absolute change of
    the forecasts.

    Args:
        saved: the saved model of the champion.
        first_truth: time stamp of the first value that is forecast, with its time zone if the file has one.
        block: origins per horizon, rounded up; see `compare_origins`.
    """
    unseen = Gate(
        "champion: has not seen the test",
        not saved.config.has_seen(first_truth),
        f"it was trained and selected on rows up to {saved.config.seen_until}",
        f"before {first_truth}",
    )
    errors, champion_errors = candidate.scores.origin_errors()[0], champion.scores.origin_errors()[0]
    name, ratio = worst_slice(candidate.scores, champion.scores)
    mean_change = float(np.abs(candidate.forecasts - champion.forecasts).mean())
    return [
        unseen,
        difference_gate(errors, champion_errors, block, gates),
        limit_gate("champion: slices", ratio, gates.slices, f"{ratio:.3f} times in {name}"),
        limit_gate("champion: stability", mean_change, gates.stability, f"{mean_change:.3f} deviations"),
    ]


def difference_gate(
    errors: Float[np.ndarray, "origins"],
    champion_errors: Float[np.ndarray, "origins"],
    block: int,
    gates: GatesParams,
) -> Gate:
    """The gate of the mean error: significantly better, or not worse.

    Args:
        errors, champion_errors: MSE of each origin, sorted by time.
        block: origins per horizon, rounded up.
    """
    comparison = compare_origins(errors, champion_errors, block)
    measured = f"MSE {errors.mean():.4f} - {champion_errors.mean():.4f} = {comparison.summary()}"
    if gates.prefer == "better":
        return Gate("champion: significantly better", comparison.better, measured, "interval below 0")
    max_difference = gates.tolerance * champion_errors.mean()
    passed = bool(comparison.difference <= max_difference)
    return Gate("champion: not worse", passed, measured, f"difference at most {max_difference:.4f}")


def worst_slice(candidate: TestScores, champion: TestScores) -> tuple[str, float]:
    """The channel or quarter of the horizon with the largest ratio of the candidate's MSE to the champion's.

    Returns its name and the ratio.
    """
    squared, champion_squared = candidate.sums.squared, champion.sums.squared
    windows, horizon = candidate.sums.windows, squared.shape[1]
    slices = {
        f"channel {candidate.test.names[n]}": (squared[n].sum(), champion_squared[n].sum(), windows[n] * horizon)
        for n in np.flatnonzero(windows)
    }
    for number, steps in enumerate(np.array_split(np.arange(horizon), min(BUCKETS, horizon)), start=1):
        sums = squared[:, steps].sum(), champion_squared[:, steps].sum()
        slices[f"quarter {number} of the horizon"] = (*sums, windows.sum() * len(steps))
    # Errors of both may be rounding only, as those of a constant channel are.
    ratios = {
        name: float((mine + ROUNDING * points) / (reference + ROUNDING * points))
        for name, (mine, reference, points) in slices.items()
    }
    worst = max(ratios, key=lambda name: ratios[name])
    return worst, ratios[worst]


def gate_table(gates: list[dict[str, Any]]) -> str:
    """The gates as an aligned table for the log."""
    return "\n".join(
        f"  {MARKS[gate['passed']]:<8} {gate['gate']:<34} {gate['found']}  [{gate['limit']}]" for gate in gates
    )


def limit_gate(name: str, value: float | None, limit: float | None, found: str) -> Gate:
    """A gate with the largest accepted value; None switches it off. An unknown value is refused.

    Args:
        found: the value as text.
    """
    if limit is None:
        return Gate(name, None, found, "off")
    return Gate(name, value is not None and bool(value <= limit), found, f"at most {limit:g}")
