"""Compare settings on the validation windows, over several seeds; the test windows are not used.

    python benchmarks/compare_settings.py --csv ETTh1.csv [--seeds 3] [--steps 300]

Each setting is trained by a real `kedro run` up to the training node: the first two layers of SmolLM2, 512 -> 96.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, dict[str, object]] = {
    "default: free prototypes, compact layout": {},
    "vocabulary prototypes": {"model.prototypes": "vocabulary"},
    "published layout": {"prompt.layout": "published"},
}


def train(csv: Path, folder: Path, steps: int, seed: int, changed: dict[str, object]) -> tuple[float, float]:
    """Validation MSE of the model that a training gives, and its median seconds a step."""
    params = {
        "raw_csv": csv.resolve().as_posix(),
        "data_root": folder.as_posix(),
        "backbone.name": "smollm2",
        "backbone.layers": 2,
        "window.seq_len": 512,
        "window.window_step": 12,
        "training.max_steps": steps,
        "training.validate_steps": 100,
        "training.patience": 100,
        "training.learning_rate": 0.002,
        "training.seed": seed,
        "evaluation.validation_step": 12,
        **changed,
    }
    words = ",".join(f"{name}={value}" for name, value in params.items())
    command = ["-m", "kedro", "run", "--pipeline", "train", "--env", "etth1", "--to-nodes", "train.train"]
    subprocess.run([sys.executable, *command, "--params", words], cwd=ROOT, check=True, capture_output=True)
    config = next(folder.glob("06_models/timellm_model/*/timellm_model/config.json"))
    history = next(folder.glob("06_models/checkpoints/*/history.csv")).read_text(encoding="utf-8").splitlines()
    column = history[0].split(",").index("seconds_per_step")
    seconds = statistics.median(float(line.split(",")[column]) for line in history[1:])
    return json.loads(config.read_text(encoding="utf-8"))["validation_mse"], seconds


def main() -> None:
    """Print a row for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    print(f"{'':<44}{'validation MSE by seed':<{10 * options.seeds}}{'mean':>8}{'spread':>8}{'s/step':>8}", flush=True)
    for name, changed in SETTINGS.items():
        found = []
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                found.append(train(options.csv, Path(folder), options.steps, seed, changed))
        errors = [error for error, _ in found]
        spread = statistics.stdev(errors) if len(errors) > 1 else float("nan")
        each = "".join(f"{error:<10.4f}" for error in errors)
        seconds = statistics.median(seconds for _, seconds in found)
        print(f"{name:<44}{each}{statistics.mean(errors):>8.4f}{spread:>8.4f}{seconds:>8.3f}", flush=True)


if __name__ == "__main__":
    main()
