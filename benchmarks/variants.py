"""Where could a language model, or another training, improve the forecast? Variants compared on validation.

    python benchmarks/variants.py --csv ETTh1.csv --results FOLDER [--seeds 3] [--steps 150]
    python benchmarks/variants.py --data bikes_daily --results FOLDER     # a series of suite.py, to confirm

The variants and what was expected of them are in docs/experiments.md. ETTh1 with lookback 168 and horizon 24: the
earlier half of validation decides (weights of a correction are those of the other groups of origins, errors are
averaged over seeds, one-sided paired test, Holm over all comparisons); the later half confirms, with the weight that
the earlier half gives. Another data set confirms with its whole validation. The test set is not used.

Calendar facts are the weekday, date and hour of the first row to forecast and the names of the holidays in the horizon
(package `holidays`). In words they stand at the end of the window's prompt; as numbers they are regressors of a ridge
regression on the residuals of the linear part.

Each result is stored in FOLDER, so an interrupted run continues. Use a new folder after a change of the code.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel

import suite
from timellm_pipeline.evaluation.correction import PartErrors, choose_alpha, part_errors
from timellm_pipeline.evaluation.significance import Comparison, compare_origins, num_cosines, standard_error
from timellm_pipeline.linear.fit import fit_linear
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.linear.residuals import Residuals
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import Parameters, parse_parameters
from timellm_pipeline.series.prepare import TrainingData, prepare
from timellm_pipeline.series.reading import RawFile
from timellm_pipeline.series.segments import Segments
from timellm_pipeline.series.windows import Windows
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.drift import open_run
from timellm_pipeline.training.fit import new_model
from timellm_pipeline.training.loop import TrainingLoop
from timellm_pipeline.training.preparation import Training, prepare_training
from variants_calendar import Calendar, correct_by_numbers
from variants_patches import change_network, patched

LEVEL = 0.05  # family-wise error rate
REFERENCE, WITHOUT, NUMBERS, ALONE = "language model", "no language model", "calendar as numbers", "linear part"
VARIANTS: dict[str, dict[str, object]] = {  # changed parameters; variants_patches.py changes code
    REFERENCE: {},
    WITHOUT: {"backbone.name": "none", "backbone.layers": None},
    "calendar in words": {},
    NUMBERS: {},
    "normalisation layers trained": {},
    "Huber loss": {},
    "loss in units of the window": {},
    "head of rank 8": {},
    "d_ff 128": {"model.d_ff": 128},
    "5 % of the training": {"split.train_percent": 5},
    "5 %, no language model": {"split.train_percent": 5, "backbone.name": "none", "backbone.layers": None},
    "10 % of the training": {"split.train_percent": 10},
    "10 %, no language model": {"split.train_percent": 10, "backbone.name": "none", "backbone.layers": None},
}
COMPARISONS = (  # a variant, and what it should be better than
    (REFERENCE, ALONE),
    (REFERENCE, WITHOUT),
    ("calendar in words", REFERENCE),
    (NUMBERS, ALONE),
    ("normalisation layers trained", REFERENCE),
    ("Huber loss", REFERENCE),
    ("loss in units of the window", REFERENCE),
    ("head of rank 8", REFERENCE),
    ("d_ff 128", REFERENCE),
    ("5 % of the training", "5 %, no language model"),
    ("10 % of the training", "10 %, no language model"),
)


class Result(BaseModel):
    """Errors of one training by origin of validation, or of its earlier half.

    Attributes:
        fitted: least-squares weight of the correction.
        accepted: whether the test accepts the correction.
        corrected: MSE with weights from other groups of origins.
        linear: MSE of the linear part.
        later: MSE of the later half with the weight of the earlier half; None if validation is not divided.
        later_linear: MSE of the linear part on the later half.
    """

    fitted: float
    accepted: bool
    corrected: list[float]
    linear: list[float]
    later: list[float] | None = None
    later_linear: list[float] | None = None


def parameters_of(data: str, changes: dict[str, object], seed: int, steps: int) -> Parameters:
    """Parameters of one training."""
    groups: dict[str, dict[str, Any]] = {
        "split": {"method": "ett_hour"},
        "window": {"seq_len": 168, "pred_len": 24, "window_step": None},
        "backbone": {"name": "smollm2", "layers": 2},
        "training": {
            "max_steps": steps,
            "max_epochs": 10_000,
            "save_steps": 10 * steps,
            "validate_steps": 10 * steps,
            "learning_rate": 0.002,
            "seed": seed,
        },
        "evaluation": {"validation_step": 11, "test_step": 1},
    }
    if data != "ETTh1":
        entry = suite.BY_NAME[data]
        groups["split"] = {"method": "ratio"}
        groups["window"] |= {"seq_len": entry.seq_len, "pred_len": entry.pred_len, "target": entry.target}
        groups["evaluation"]["validation_step"] = 1
    for name, value in changes.items():
        group, key = name.split(".")
        groups[group] = {**groups.get(group, {}), key: value}
    return parse_parameters(groups)


def parts_of_validation(data: TrainingData, halves: bool) -> list[Windows]:
    """The earlier and the later half of the validation windows, one horizon apart, or all of them."""
    windows = data.windows("validation")
    if not halves:
        return [windows]
    segments, gap = windows.segments, windows.origins_per_horizon
    first = segments.count // 2
    later = first + gap
    pieces = (
        Segments(segments.series, segments.first, first, segments.step),
        Segments(segments.series, segments.first + later * segments.step, segments.count - later, segments.step),
    )
    return [Windows(windows.panel, piece, windows.seq_len, windows.pred_len) for piece in pieces]


def run(
    raw: RawFile | pd.DataFrame,
    data_name: str,
    variant: str,
    seed: int,
    steps: int,
    linear_parts: dict[int, LinearPart],
) -> Result:
    """Errors by origin of one training on each part of validation, and of its linear part.

    Args:
        linear_parts: fitted linear parts by percentage of the training rows; a missing one is fitted and added.
    """
    parameters = parameters_of(data_name, VARIANTS[variant], seed, steps)
    data = prepare(raw, parameters).training
    parts = parts_of_validation(data, data_name == "ETTh1")
    calendar = Calendar.of(data, data_name)
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder))
        share = parameters.split.train_percent  # the only change that the linear part depends on
        if share not in linear_parts:
            linear_parts[share] = fit_linear(data, parameters.window, parameters.model, parameters.evaluation)
        training = prepare_training(data, parameters, BackboneSource(), store, linear=linear_parts[share])
        if variant == NUMBERS:
            return summarise([correct_by_numbers(calendar, data, training.linear, windows) for windows in parts])
        with patched(variant, calendar):
            found = train(training, parts, variant)
    return summarise(found)


def train(training: Training, parts: list[Windows], variant: str) -> list[PartErrors]:
    """Train a correction, and compute its errors with the averaged weights."""
    parameters, data, linear = training.parameters, training.data, training.linear
    open_run(training)
    torch.manual_seed(parameters.training.seed)
    model = new_model(training, training.source.load(parameters.backbone, training.compute))
    change_network(variant, model.network)
    residuals = Residuals(data.windows("train"), linear)
    groups = (data.plan, parameters.training, parameters.evaluation)
    loop = TrainingLoop(model, residuals, parts[0], *groups, training.run, training.content)
    with training.run.alone():
        loop.run()
    assert loop.average is not None
    with loop.average.applied():
        return [part_errors(model, windows, parameters.evaluation.batch_size) for windows in parts]


def summarise(found: list[PartErrors]) -> Result:
    """Errors by origin of the parts of validation."""
    choices = [choose_alpha(errors) for errors in found]
    result = Result(
        fitted=choices[0].alpha.fitted,
        accepted=choices[0].alpha.alpha > 0,
        corrected=choices[0].corrected.tolist(),
        linear=choices[0].linear.tolist(),
    )
    if len(found) > 1:
        result.later_linear = choices[1].linear.tolist()
        result.later = by_origin(found[1], choices[0].alpha.fitted).tolist()
    return result


def by_origin(errors: PartErrors, alpha: float) -> np.ndarray:
    """MSE of each origin with a weight that other origins gave."""
    windows = errors.validation
    number = np.unique(windows.origin(np.arange(len(windows))), return_inverse=True)[1]
    squares = errors.products @ np.array([1.0, -2 * alpha, alpha**2])
    mean: np.ndarray = np.bincount(number, squares) / (np.bincount(number) * windows.pred_len)
    return mean


def mean_over_seeds(results: dict[str, list[Result]], name: str, key: str) -> np.ndarray:
    """Errors by origin. The linear part alone is that of the reference."""
    if name == ALONE:
        name, key = REFERENCE, "later_linear" if key == "later" else "linear"
    mean: np.ndarray = np.mean([getattr(one, key) for one in results[name]], axis=0)
    return mean


def holm(pairs: list[tuple[np.ndarray, np.ndarray]], block: int) -> list[tuple[Comparison, bool]]:
    """Each comparison, and whether the variant is better at a family-wise level (Holm 1979, one-sided)."""
    cosines = num_cosines(len(pairs[0][0]), block)
    scores = []
    for ours, theirs in pairs:
        spread = float(standard_error(ours - theirs, cosines))
        scores.append(float((ours - theirs).mean()) / spread if spread else 0.0)
    order, found, rejecting = np.argsort(scores), [False] * len(pairs), True
    for rank, number in enumerate(order):
        level = 1 - 2 * LEVEL / (len(pairs) - rank)
        rejecting = rejecting and compare_origins(*pairs[number], block, level).better
        found[number] = rejecting
    return [(compare_origins(*pair, block), better) for pair, better in zip(pairs, found)]


def table(results: dict[str, list[Result]], block: int) -> str:
    """The comparisons in a Markdown table."""
    pairs = [pair for pair in COMPARISONS if set(pair) <= {*results, ALONE}]
    later = next(iter(results.values()))[0].later is not None
    tested = holm([tuple(mean_over_seeds(results, name, "corrected") for name in pair) for pair in pairs], block)
    head = ["variant", "against", "weights of the seeds", "MSE", "against: MSE", "difference (95 % interval)", "Holm"]
    rows = [head + ["later half"] * later, ["---"] * (len(head) + later)]
    for (variant, other), (comparison, better) in zip(pairs, tested):
        ours, theirs = (mean_over_seeds(results, name, "corrected").mean() for name in (variant, other))
        weights = " ".join(f"{one.fitted:.2f}{'' if one.accepted else '*'}" for one in results[variant])
        row = [variant, other, weights, f"{ours:.4f}", f"{theirs:.4f}", comparison.summary(), "yes" if better else "no"]
        if later:
            halves = (mean_over_seeds(results, name, "later") for name in (variant, other))
            row.append(compare_origins(*halves, block).summary())
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n\n*: not accepted, so alpha is 0"


def main() -> None:
    """Run what is missing in the folder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="ETTh1.csv")
    parser.add_argument("--data", choices=sorted(suite.BY_NAME), help="a series of suite.py instead")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    if (options.csv is None) == (options.data is None):
        parser.error("give --csv ETTh1.csv or --data NAME")
    name = options.data or "ETTh1"
    raw: RawFile | pd.DataFrame = (
        suite.load(name) if options.data else RawFile(str(options.csv), options.csv.read_bytes())
    )
    options.results.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[Result]] = {variant: [] for variant in options.variants}
    parts: dict[int, LinearPart] = {}
    for seed in range(options.seeds):
        for variant in options.variants:
            path = options.results / f"{name}, {variant}, {options.steps} steps, seed {seed}.json"
            if not path.exists():
                found = run(raw, name, variant, seed, options.steps, parts)
                path.write_text(found.model_dump_json(), encoding="utf-8")
            results[variant].append(Result.model_validate_json(path.read_text(encoding="utf-8")))
            print(path.stem, file=sys.stderr, flush=True)
    data = prepare(raw, parameters_of(name, {}, 0, options.steps)).training
    print(table(results, data.windows("validation").origins_per_horizon))


if __name__ == "__main__":
    main()
