"""Fit and choose the linear part: every training window, blocked cross-validation, and the validation windows.

Candidates are naive, seasonal naive, plain ridges and, for `structured`, ridges with structured penalties that shrink
to the window's mean, to naive or to seasonal naive. The criterion is the mean ratio of the MSE to that of the plain
ridge over the blocks and validation. The forecast is the mean of the candidates with the smallest criterion: a single
choice among few windows is unreliable.

The forecast is then moved towards the best baseline, just as far as is needed for an MSE that is no larger than that of
naive, seasonal naive and the plain ridge: on the validation windows, or, where these are too few to decide anything, on
them and the blocks together (`Fitter.deciding_mse`). There the criterion is unreliable too, and the best baseline has
at least half of the weight.

Errors come from second moments, so windows are read once.
"""

import functools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from timellm_pipeline.linear.candidates import Candidate, Center
from timellm_pipeline.linear.effects_fit import fit_effects
from timellm_pipeline.linear.fitter import Fitter, MapsOf, Task
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.linear.maps import Maps
from timellm_pipeline.linear.part import FORMAT, Chosen, LinearFacts, LinearPart, Tried
from timellm_pipeline.linear.threads import one_thread_each
from timellm_pipeline.parameters import EvaluationParams, ModelParams, WindowParams
from timellm_pipeline.series.frequency import season_length, seasons_of
from timellm_pipeline.series.identity import digest_of, digest_of_arrays
from timellm_pipeline.series.prepare import WindowData

log = logging.getLogger(__name__)

PLAIN_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
DEVIATION_PENALTIES = (30.0, 100.0, 300.0)
CENTERS: tuple[Center, ...] = ("mean", "naive", "seasonal_naive")
NUM_CHOSEN = 8  # candidates whose mean is the forecast
SHORT_SHARE = 0.5  # smallest weight of the best baseline where validation is short
MOST_BYTES = 2**31  # limit of the moments of single series; above it one map is shared by all series
MOMENTS_PER_SERIES = 30  # moments and maps of a series that exist at the same time, with four threads

NAIVE, SEASONAL_NAIVE = Candidate(kind="rule", center="naive"), Candidate(kind="rule", center="seasonal_naive")
RIDGES = tuple(Candidate(kind="plain", penalty=penalty) for penalty in PLAIN_PENALTIES)


def fit_ridge(task: Task) -> LinearPart:
    """The plain ridge regression with the smallest validation MSE: the `linear` baseline.

    It is the same ridge, on the same windows, as the candidate of `fit_linear`.
    """
    with one_thread_each() as threads:
        fitter = Fitter(task, Folds.of(task.rows, task.window, most=1), False, threads)
        ridge = min(RIDGES, key=lambda candidate: fitter.validation.mse(fitter.maps(candidate)))
        return _part(fitter, {ridge: 1.0}, functools.partial(fitter.maps, ridge), (), "")


def fit_linear(data: WindowData, window: WindowParams, model: ModelParams, evaluation: EvaluationParams) -> LinearPart:
    """The linear part of prepared data; for `model.linear: none`, the mean of the window."""
    facts, inputs_id = linear_facts(data, model, evaluation), inputs_id_of(data, model, evaluation)
    if model.linear == "none":
        return LinearPart.mean_of_window(window.seq_len, window.pred_len, inputs_id)
    task = Task.of(data, window, evaluation.season)
    part = choose_linear(task, model.linear, facts["seasons"], inputs_id)
    return _with_effects(task, part, model.linear, facts["seasons"]) if data.scaled.known else part


def _with_effects(
    task: Task, part: LinearPart, kind: Literal["structured", "plain"], seasons: Sequence[int]
) -> LinearPart:
    """The linear part with effects of known columns; `part`, which has none, if its validation MSE is not larger.

    So the forecast is at most as bad as the baselines on validation, whose limit holds for `part`.
    """
    effects = fit_effects(task, fit_ridge(task), Folds.of(task.rows, task.window))
    if effects is None:
        return part
    found = choose_linear(task.without(effects), kind, seasons, part.facts.inputs_id)
    errors = [one.facts.validation_mse or 0.0 for one in (found, part)]
    is_better = errors[0] < errors[1]
    log.info(
        "known columns %s: validation MSE %.4f with their effects, %.4f without: they are %s",
        ", ".join(effects.names),
        *errors,
        "used" if is_better else "not used",
    )
    return replace(found, effects=effects) if is_better else part


def choose_linear(
    task: Task, kind: Literal["structured", "plain"], seasons: Sequence[int], inputs_id: str = ""
) -> LinearPart:
    """The linear part that cross-validation and validation select.

    Args:
        task: what to fit on.
        kind: `plain`: baselines and plain ridges only.
        seasons: season lengths in rows, for structured penalties.
        inputs_id: digest of everything that the fit reads.
    """
    num_series = task.scaled.num_series
    per_series = kind == "structured" and num_series > 1 and _fits(num_series, task.window)
    with one_thread_each() as threads:
        fitter = Fitter(task, Folds.of(task.rows, task.window), per_series, threads)
        return _choose(fitter, kind, seasons, per_series, inputs_id)


def _choose(fitter: Fitter, kind: str, seasons: Sequence[int], per_series: bool, inputs_id: str) -> LinearPart:
    errors = fitter.errors(Candidate(kind="rule"), (NAIVE.center, SEASONAL_NAIVE.center))
    for candidate in RIDGES:
        errors |= fitter.errors(candidate)
    ridge = min(RIDGES, key=lambda candidate: errors[candidate][-1])
    baselines = (NAIVE, SEASONAL_NAIVE, ridge)

    def criterion(candidate: Candidate) -> float:
        return _mean_ratio(errors[candidate], errors[ridge])

    if kind == "structured":
        for candidate in _structured(seasons, fitter.task.window.seq_len):
            errors |= fitter.errors(candidate, CENTERS)
        if per_series:
            best = min((one for one in errors if one.kind == "structured"), key=criterion)
            for penalty in DEVIATION_PENALTIES:
                candidate = best.model_copy(update={"kind": "per_series", "deviation_penalty": penalty})
                errors |= fitter.errors(candidate, (best.center,))
    ranked = sorted(errors, key=criterion)
    averaged = ranked[: NUM_CHOSEN if kind == "structured" else 1]
    least = SHORT_SHARE if kind == "structured" and not fitter.validation_decides else 0.0
    weights, maps_of = _within_limit(fitter, averaged, baselines, least)
    tried = tuple(
        Tried(candidate=candidate, criterion=criterion(candidate), validation_mse=float(errors[candidate][-1]))
        for candidate in ranked
    )
    part = _part(fitter, weights, maps_of, tried, inputs_id)
    log.info(
        "linear part: %s training windows, mean of %s; validation MSE %.4f, best baseline %.4f",
        f"{fitter.num_windows:,}",
        ", ".join(describe(one) for one in part.facts.chosen),
        part.facts.validation_mse,
        min(errors[baseline][-1] for baseline in baselines),
    )
    return part


def linear_facts(data: WindowData, model: ModelParams, evaluation: EvaluationParams) -> dict[str, Any]:
    """What the fit reads beside the series and the indexed windows, as plain values, for the training id."""
    if model.linear == "none":
        return {"kind": "none"}
    frequency = data.scaled.frequency
    return {
        "kind": model.linear,
        "format": FORMAT,
        "rows": list(data.scaler.rows),
        "seasons": [model.season] if model.season else list(seasons_of(frequency)),
        "baseline_season": evaluation.season or season_length(frequency),
        **({"known": list(data.scaled.known.names)} if data.scaled.known else {}),
    }


def inputs_id_of(data: WindowData, model: ModelParams, evaluation: EvaluationParams) -> str:
    """Digest of everything that the fit reads."""
    facts = linear_facts(data, model, evaluation)
    validation = digest_of_arrays(*data.index.splits["validation"].columns)
    return digest_of({"facts": facts, "data_id": data.scaled.data_id, "validation": validation})


def describe(chosen: Chosen) -> str:
    """A chosen candidate in words."""
    candidate = chosen.candidate
    words = [f"{chosen.weight:.0%}", candidate.kind.replace("rule", "").replace("_", " ")]
    words += [candidate.center.replace("_", " ")] if candidate.center != "mean" else []
    words += [f"season {'+'.join(map(str, candidate.seasons))}"] if candidate.seasons else []
    words += [f"penalty {candidate.penalty:g}"] if candidate.kind != "rule" else []
    words += [f"deviations {candidate.deviation_penalty:g}"] if candidate.deviation_penalty else []
    return " ".join(word for word in words if word)


def _structured(seasons: Sequence[int], seq_len: int) -> Iterable[Candidate]:
    """Structured ridges: without a season, with the first season, and with all seasons that a window contains."""
    useful = tuple(season for season in seasons if 1 < season <= seq_len)
    for lengths in dict.fromkeys([(), useful[:1], useful]):
        for penalty in PENALTIES:
            yield Candidate(kind="structured", seasons=lengths, penalty=penalty)


def _mean_ratio(errors: np.ndarray, base: np.ndarray) -> float:
    """Mean ratio of errors; 1 where both are 0."""
    ratios = [error / other if other > 0 else (1.0 if error == 0 else np.inf) for error, other in zip(errors, base)]
    return float(np.mean(ratios))


def _within_limit(
    fitter: Fitter, averaged: Sequence[Candidate], baselines: Sequence[Candidate], least: float
) -> tuple[dict[Candidate, float], MapsOf]:
    """The mean of candidates, moved towards the best baseline until the MSE is at most the baseline's.

    The MSE (`Fitter.deciding_mse`) is a quadratic function of the baseline's weight t. It equals the limit at t = 1, so
    that the other root is the product of the roots. It is convex, so that any larger weight is within the limit too.

    Args:
        least: smallest weight of the baseline.

    Returns:
        Weights of the candidates, and the maps of their weighted mean.
    """
    baseline = min(baselines, key=lambda one: fitter.deciding_mse(functools.partial(fitter.maps, one)))

    @functools.cache
    def ends(fold: int | None) -> tuple[Maps, Maps]:
        maps = fitter.threads.map(lambda one: fitter.maps(one, fold), averaged)
        return sum(maps, start=torch.zeros(())) / len(averaged), fitter.maps(baseline, fold)

    def moved(share: float, fold: int | None) -> Maps:
        mean, base = ends(fold)
        return mean + share * (base - mean)

    at_0, at_half, at_1 = (fitter.deciding_mse(functools.partial(moved, share)) for share in (0.0, 0.5, 1.0))
    share, curvature = least, 2 * (at_0 + at_1 - 2 * at_half)
    if at_0 > at_1:
        other = (at_0 - at_1) / curvature if curvature > 0 else 1.0
        share = max(min(other, 1.0), least)
    weights = dict.fromkeys(averaged, (1 - share) / len(averaged))
    return weights | {baseline: weights.get(baseline, 0.0) + share}, functools.partial(moved, share)


def _part(
    fitter: Fitter, weights: dict[Candidate, float], maps_of: MapsOf, tried: tuple[Tried, ...], inputs_id: str
) -> LinearPart:
    """The linear part of the weighted mean of candidates, whose maps are given for each fold."""
    full, *without = (maps_of(fold) for fold in (None, *range(len(fitter.folds))))
    facts = LinearFacts(
        inputs_id=inputs_id,
        ids=fitter.task.scaled.ids if len(full) > 1 else (),
        chosen=tuple(Chosen(candidate=one, weight=weight) for one, weight in weights.items() if weight > 0),
        tried=tried,
        num_windows=fitter.num_windows,
        validation_mse=fitter.validation.mse(full),
        bounds=fitter.folds.bounds,
        gap=fitter.folds.gap,
    )
    folds = [maps.numpy().astype(np.float32) for maps in without]
    fold_maps = np.stack(folds) if folds else np.zeros((0, *full.shape), dtype=np.float32)
    return LinearPart(facts, full.mean(dim=0).numpy(), full.numpy(), fold_maps)


def _fits(num_series: int, window: WindowParams) -> bool:
    """Whether the moments of every series fit the memory limit."""
    size = window.seq_len * (window.seq_len + window.pred_len) * 8
    return num_series * size * MOMENTS_PER_SERIES <= MOST_BYTES
