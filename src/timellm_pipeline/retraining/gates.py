"""What a candidate has to pass before it becomes champion, each with its numbers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.evaluation.noise import compare_origins
from timellm_pipeline.evaluation.rivals import Scored
from timellm_pipeline.evaluation.scores import TestScores
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import GatesParams
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.clock import age_of, future_by

BUCKETS = 4  # parts of the horizon that are compared


@dataclass(frozen=True)
class Gate:
    """One gate: `passed` is None where it does not apply (switched off, or no champion yet)."""

    gate: str
    passed: bool | None
    found: str
    limit: str

    def facts(self) -> dict[str, Any]:
        """As plain values for the report."""
        return asdict(self)


def data_gates(
    series: pd.DataFrame, borders: Borders, champion: SavedModel | None, gates: GatesParams, now: pd.Timestamp
) -> list[Gate]:
    """Whether the newest data may be trained on at all.

    Args:
        now: with its time zone.
    """
    found = []
    if champion is not None:
        have, want = [name for name in series.columns if name != "date"], champion.config.channels
        missing = [name for name in want if name not in have]
        frequency = series.attrs["frequency"]
        fits = not missing and frequency == champion.config.frequency
        said = f"missing {missing}, steps of {frequency}"
        found.append(Gate("data: schema", fits, said, f"{want}, steps of {champion.config.frequency}"))
    filled = sum(last - first + 1 for first, last in series.attrs.get("filled", []))
    share = filled / len(series)
    found.append(_limit("data: filled-in rows", share, gates.max_filled, "{:.2%}"))
    age, ahead = age_of(series, now), future_by(series, now)
    if ahead is not None:
        newest = series["date"].iloc[-1]
        found.append(Gate("data: no rows in the future", False, f"{newest}, {ahead} ahead of now", "not after now"))
    if gates.max_age is None:
        found.append(Gate("data: age of the newest row", None, f"{age}", "off"))
    else:
        fresh = bool(age <= pd.Timedelta(gates.max_age))
        found.append(Gate("data: age of the newest row", fresh, f"{age}", f"at most {gates.max_age}"))
    if champion is not None and gates.range_deviations is not None and found[0].passed:
        scaler = champion.scaler
        rows = series[scaler.channels].iloc[borders.validation[0] : borders.test[1]]
        far = np.abs(scaler.scale(rows.to_numpy(dtype=np.float64)))
        worst = scaler.channels[int(far.max(axis=0).argmax())]
        passed = bool(far.max() <= gates.range_deviations)
        limit = f"at most {gates.range_deviations:g} deviations"
        found.append(Gate("data: range", passed, f"{far.max():.1f} deviations in `{worst}`", limit))
    return found


def floor_gates(scores: dict[str, TestScores], reports: dict[str, Any], gates: GatesParams) -> list[Gate]:
    """Whether the candidate is better than the baselines."""
    mine = reports["timellm"]
    found = [_limit("floor: MASE", mine["original"]["mase"], gates.mase, "{:.3f}")]
    for name, wanted in (("seasonal_naive", gates.seasonal_naive), ("linear", gates.linear)):
        ours, theirs = mine["scaled"]["mse"], reports[name]["scaled"]["mse"]
        passed = ours < theirs if wanted else None
        found.append(
            Gate(f"floor: {name}", passed, f"MSE {ours:.4f}", f"below {theirs:.4f}" + ("" if wanted else ", off"))
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
    """Whether the candidate beats the champion on the newest windows, everywhere, and without a jump."""
    if champion is None or saved is None:
        return [Gate("champion", None, "there is no champion yet", "")]
    if not gates.champion:
        return [Gate("champion", None, "not compared", "off")]
    unseen = pd.Timestamp(saved.config.seen_until) < first_truth
    found = [
        Gate(
            "champion: has not seen the test",
            unseen,
            f"it was trained and chosen on rows to {saved.config.seen_until}",
            f"before {first_truth}",
        )
    ]
    ours, theirs = candidate.scores.origin_errors()[0], champion.scores.origin_errors()[0]
    noise = compare_origins(ours, theirs, block)
    said = f"MSE {ours.mean():.4f} - {theirs.mean():.4f} = {noise['difference']:+.4f} "
    said += f"({noise['low']:+.4f} to {noise['high']:+.4f})"
    if gates.prefer == "better":
        found.append(Gate("champion: better beyond noise", noise["high"] < 0, said, "interval below 0"))
    else:
        most = gates.tolerance * theirs.mean()
        passed = bool(noise["difference"] <= most)
        found.append(Gate("champion: not worse", passed, said, f"difference at most {most:.4f}"))
    name, ratio = worst_slice(candidate.scores, champion.scores)
    found.append(_limit("champion: slices", ratio, gates.slices, "{:.3f} times in " + name))
    jump = float(np.abs(candidate.forecasts - champion.forecasts).mean())
    found.append(_limit("champion: stability", jump, gates.stability, "{:.3f} deviations"))
    return found


def worst_slice(ours: TestScores, theirs: TestScores) -> tuple[str, float]:
    """The channel or quarter of the horizon in which ours is worst against theirs, and the ratio of their MSEs."""
    one, other = ours.sums.squared, theirs.sums.squared
    used = np.flatnonzero(ours.sums.windows)
    slices = {f"channel {ours.test.names[n]}": (one[n].sum(), other[n].sum()) for n in used}
    for number, steps in enumerate(np.array_split(np.arange(one.shape[1]), min(BUCKETS, one.shape[1])), start=1):
        slices[f"quarter {number} of the horizon"] = (one[:, steps].sum(), other[:, steps].sum())
    ratios = {name: float(mine / theirs_) if theirs_ else np.inf for name, (mine, theirs_) in slices.items()}
    worst = max(ratios, key=lambda name: ratios[name])
    return worst, ratios[worst]


def gate_table(gates: list[dict[str, Any]]) -> str:
    """The gates for the log."""
    marks = {True: "passed", False: "REFUSED", None: "-"}
    return "\n".join(f"  {marks[of['passed']]:<8} {of['gate']:<34} {of['found']}  [{of['limit']}]" for of in gates)


def _limit(name: str, value: float | None, limit: float | None, form: str) -> Gate:
    if value is None:
        return Gate(name, None if limit is None else False, "unknown", f"at most {limit}")
    if limit is None:
        return Gate(name, None, form.format(value), "off")
    return Gate(name, bool(value <= limit), form.format(value), f"at most {limit:g}")
