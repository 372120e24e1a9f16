"""Does the correction learn what a linear forecast cannot, and only that?  `python benchmarks/controls.py`

Positive controls: panels of episodes. The horizon of each episode follows from its window by a rule that is not linear:

    word      the sign of the window's trend, which the prompt names ("upward" or "downward")
    rule      the sign of the product of two points of the window

A training whose correction has no weight, or does not improve the test significantly, fails. Null control: the same
windows with horizons that do not depend on them; a correction with a weight is a false positive.

Windows are aligned with episodes (all steps are the length of an episode), so origins are independent.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from timellm_pipeline.evaluation.report import run_test
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import Parameters, parse_parameters
from timellm_pipeline.series.prepare import prepare
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model

WINDOW, HORIZON, CHANNELS = 48, 12, 4
EPISODE = WINDOW + HORIZON
KINDS = ("word", "rule", "null")
GOAL = 4  # of five seeds


def episodes(kind: str, count: int, seed: int) -> pd.DataFrame:
    """A panel of `count` episodes for each channel, as a wide table with hourly time stamps."""
    rng = np.random.default_rng(seed)
    shape = (CHANNELS, count)
    time = np.linspace(-1, 1, WINDOW)
    slope = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 2.0, shape)
    window = slope[..., None] * time + 0.5 * rng.standard_normal((*shape, WINDOW))
    signs = {
        "word": np.sign((window * time).sum(axis=-1)),
        "rule": np.sign(window[..., 12:20].mean(axis=-1) * window[..., 36:44].mean(axis=-1) + 0.15),
        "null": rng.choice([-1.0, 1.0], shape),
    }
    bump = np.sin(np.linspace(0, np.pi, HORIZON))
    horizon = 1.5 * signs[kind][..., None] * bump + 0.5 * rng.standard_normal((*shape, HORIZON))
    values = np.concatenate([window, horizon], axis=-1).reshape(CHANNELS, -1)
    table = pd.DataFrame({f"series {number}": row for number, row in enumerate(values)})
    table.insert(0, "date", pd.date_range("2020-01-01", periods=len(table), freq="h").astype(str))
    return table


def parameters_of(backbone: str, seed: int, steps: int, count: int) -> Parameters:
    """Parameters of one training: a fifth of the episodes for validation, a fifth for the test.

    The ranges start with the lookback of their first window, so that its episode starts there.
    """
    fifth = count // 5 * EPISODE
    return parse_parameters(
        {
            "window": {
                "seq_len": WINDOW,
                "pred_len": HORIZON,
                "window_step": EPISODE,
                "patch_len": 8,
                "stride": 4,
                "target": "series 0",
            },
            "split": {"method": "recent", "val_rows": fifth, "test_rows": fifth + HORIZON},
            "backbone": {"name": backbone, "layers": None if backbone == "none" else 2},
            "model": {"num_prototypes": 100},
            "training": {"max_epochs": 1000, "max_steps": steps, "learning_rate": 0.003, "seed": seed},
            "evaluation": {"validation_step": EPISODE, "test_step": EPISODE},
        }
    )


def train(kind: str, backbone: str, seed: int, steps: int, count: int) -> tuple[float, str, float, float]:
    """Weight of the correction, verdict against the linear part on the test, and both test MSEs."""
    parameters = parameters_of(backbone, seed, steps, count)
    data = prepare(episodes(kind, count, seed), parameters).training
    source = BackboneSource()
    with tempfile.TemporaryDirectory() as folder:
        result = train_model(data, parameters, source, CheckpointStore(Path(folder) / "checkpoints"), "v")
        result.model.write(Path(folder) / "model")
        saved = SavedModel.read(Path(folder) / "model")
        model = TimeLLM.from_saved(saved, source, Compute(), correction=True)
        metrics = run_test(saved, model, data, parameters.evaluation).metrics
    mse = {name: report["scaled"]["mse"] for name, report in metrics["models"].items()}
    return model.alpha, metrics["differences"]["linear_part"]["verdict"], mse["timellm"], mse["linear_part"]


def main() -> None:
    """Print one line for each training. The status is 1 if a control fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--backbone", default="smollm2", help="smollm2, none, a folder or a pinned hub id")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--episodes", type=int, default=200, help="for each of the four series")
    given = parser.parse_args()
    failed = False
    print(f"{'control':<8}{'seed':>5}{'alpha':>8}  {'shipped':>8}{'linear':>8}  shipped against linear, test")
    for kind in given.kinds:
        accepted = 0
        for seed in range(given.seeds):
            alpha, verdict, shipped, linear = train(kind, given.backbone, seed, given.steps, given.episodes)
            accepted += alpha > 0 and (kind == "null" or verdict == "better")
            print(f"{kind:<8}{seed:>5}{alpha:>8.3f}  {shipped:>8.4f}{linear:>8.4f}  {verdict}", flush=True)
        wrong = accepted > 1 if kind == "null" else accepted < GOAL * given.seeds / 5
        failed |= wrong
        print(f"{kind}: {accepted} of {given.seeds} corrections accepted: {'FAILED' if wrong else 'as expected'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
