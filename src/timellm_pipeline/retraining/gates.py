"""The gates that a candidate must pass to become champion, each with the value found and its limit."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.evaluation.comparison import Scored
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.evaluation.significance import compare_origins
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import GatesParams
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.clock import age_of, future_by
from timellm_pipeline.series.panel import Panel

BUCKETS = 4  # parts of the horizon that are compared


@dataclass(frozen=True)
class Gate:
    """One gate. `passed` is None if the gate does not apply (switched off, or no champion yet)."""

    gate: str
    passed: bool | None
    found: str
    limit: str

    def facts(self) -> dict[str, Any]:
        """The gate as plain values for the report."""
        return asdict(self)


def data_gates(
    series: Panel, borders: Borders, champion: SavedModel | None, gates: GatesParams, now: pd.Timestamp
) -> list[Gate]:
    """The gates of the newest data, which are decided before training.

    Args:
        now: the current time, with a time zone.
    """
    found = []
    if champion is not None:
        channels, frequency = champion.config.channels, series.frequency
        missing = [name for name in channels if name not in series.ids]
        matches = not missing and frequency == champion.config.frequency
        measured = f"missing {missing}, steps of {frequency}"
        found.append(Gate("data: schema", matches, measured, f"{channels}, steps of {champion.config.frequency}"))
    found.append(_limit("data: filled-in rows", series.filled_share(), gates.max_filled, "{:.2%}"))
    age, ahead = age_of(series, now), future_by(series, now)
    if ahead is not None:
        newest = f"{series.stamps[-1]}, {ahead} ahead of now"
        found.append(Gate("data: no rows in the future", False, newest, "not after now"))
    if gates.max_age is None:
        found.append(Gate("data: age of the newest row", None, f"{age}", "off"))
    else:
        is_recent = bool(age <= pd.Timedelta(gates.max_age))
        found.append(Gate("data: age of the newest row", is_recent, f"{age}", f"at most {gates.max_age}"))
    if champion is not None and gates.range_deviations is not None and found[0].passed:
        scaler = champion.scaler
        rows = slice(borders.validation[0], borders.test[1])
        values = np.stack([series.series(series.number_of[name])[rows] for name in scaler.channels])
        deviations = np.abs(scaler.scale(values, np.arange(len(values))))
        worst = scaler.channels[int(deviations.max(axis=1).argmax())]
        passed = bool(deviations.max() <= gates.range_deviations)
        limit = f"at most {gates.range_deviations:g} deviations"
        found.append(Gate("data: range", passed, f"{deviations.max():.1f} deviations in `{worst}`", limit))
    return found


def floor_gates(scores: dict[str, TestScores], reports: dict[str, Any], gates: GatesParams) -> list[Gate]:
    """The gates that compare the candidate with the baselines."""
    candidate = reports["timellm"]
    found = [_limit("floor: MASE", candidate["original"]["mase"], gates.mase, "{:.3f}")]
    for name, is_on in (("seasonal_naive", gates.seasonal_naive), ("linear", gates.linear)):
        mse, baseline_mse = candidate["scaled"]["mse"], reports[name]["scaled"]["mse"]
        passed = mse < baseline_mse if is_on else None
        found.append(
            Gate(f"floor: {name}", passed, f"MSE {mse:.4f}", f"below {baseline_mse:.4f}" + ("" if is_on else ", off"))
        )
    return found


def champion_gates(
    candidate: Scored,
    champion: Scored | None,
    saved: SavedModel | None,
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
    if champion is None or saved is None:
        return [Gate("champion", None, "there is no champion yet", "")]
    if not gates.champion:
        return [Gate("champion", None, "not compared", "off")]
    unseen = not saved.config.has_seen(first_truth)
    found = [
        Gate(
            "champion: has not seen the test",
            unseen,
            f"it was trained and selected on rows up to {saved.config.seen_until}",
            f"before {first_truth}",
        )
    ]
    errors, champion_errors = candidate.scores.origin_errors()[0], champion.scores.origin_errors()[0]
    comparison = compare_origins(errors, champion_errors, block)
    measured = f"MSE {errors.mean():.4f} - {champion_errors.mean():.4f} = {comparison.summary()}"
    if gates.prefer == "better":
        if comparison.significant is None:
            measured = f"{comparison.shortage()}: {_more_origins(block)}"
        found.append(Gate("champion: significantly better", comparison.better, measured, "interval below 0"))
    else:
        max_difference = gates.tolerance * champion_errors.mean()
        passed = bool(comparison.difference <= max_difference)
        found.append(Gate("champion: not worse", passed, measured, f"difference at most {max_difference:.4f}"))
    name, ratio = worst_slice(candidate.scores, champion.scores)
    found.append(_limit("champion: slices", ratio, gates.slices, "{:.3f} times in " + name))
    mean_change = float(np.abs(candidate.forecasts - champion.forecasts).mean())
    found.append(_limit("champion: stability", mean_change, gates.stability, "{:.3f} deviations"))
    return found


def worst_slice(candidate: TestScores, champion: TestScores) -> tuple[str, float]:
    """The channel or quarter of the horizon with the largest ratio of the candidate's MSE to the champion's.

    Returns its name and the ratio.
    """
    squared, champion_squared = candidate.sums.squared, champion.sums.squared
    used = np.flatnonzero(candidate.sums.windows)
    slices = {f"channel {candidate.test.names[n]}": (squared[n].sum(), champion_squared[n].sum()) for n in used}
    for number, steps in enumerate(
        np.array_split(np.arange(squared.shape[1]), min(BUCKETS, squared.shape[1])), start=1
    ):
        slices[f"quarter {number} of the horizon"] = (squared[:, steps].sum(), champion_squared[:, steps].sum())
    ratios = {name: float(mine / reference) if reference else np.inf for name, (mine, reference) in slices.items()}
    worst = max(ratios, key=lambda name: ratios[name])
    return worst, ratios[worst]


def gate_table(gates: list[dict[str, Any]]) -> str:
    """The gates as an aligned table for the log."""
    marks = {True: "passed", False: "REFUSED", None: "-"}
    return "\n".join(
        f"  {marks[gate['passed']]:<8} {gate['gate']:<34} {gate['found']}  [{gate['limit']}]" for gate in gates
    )


def _more_origins(block: int) -> str:
    """What increases the number of blocks: closer origins only if no origins share a horizon yet."""
    return "lower evaluation.test_step or raise split.test_rows" if block == 1 else "raise split.test_rows"


def _limit(name: str, value: float | None, limit: float | None, form: str) -> Gate:
    if value is None:
        return Gate(name, None if limit is None else False, "unknown", f"at most {limit}")
    if limit is None:
        return Gate(name, None, form.format(value), "off")
    return Gate(name, bool(value <= limit), form.format(value), f"at most {limit:g}")
