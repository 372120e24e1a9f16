"""Train, evaluate and forecast many series with a tiny language model: seconds and peak memory of each command.

    python benchmarks/many_series.py --series 20000 --rows 200

The series are ragged days in a long Parquet file. Each command is a process of its own, as a user starts it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from data_scale import write_long
from peers import environment
from tiny_backbone import BACKBONE

ROOT = Path(__file__).parents[1]
WINDOW = {"window.seq_len": 56, "window.pred_len": 14, "window.patch_len": 8, "window.stride": 4}
TRAINING = {"model.d_ff": 16, "training.max_steps": 200, "training.save_steps": 100}
SPLIT = {"split.train_ratio": 0.5, "split.test_ratio": 0.25}


def run(pipeline: str, params: dict[str, object]) -> tuple[float, float]:
    """Seconds and peak MiB of a pipeline. Prints its output and ends the benchmark if it fails."""
    words = ",".join(f"{name}={value}" for name, value in params.items())
    command = [sys.executable, "-m", "kedro", "run", "--pipeline", pipeline, "--params", words]
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            out.seek(0)
            raise SystemExit(out.read()[-4000:])
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=200, help="rows of each series")
    parser.add_argument("--pipelines", nargs="*", default=["data", "train", "evaluate", "forecast"])
    options = parser.parse_args()
    print(environment())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_long(folder / "long.parquet", options.series, options.rows)
        subprocess.run([sys.executable, "-c", BACKBONE, str(folder / "backbone")], check=True, capture_output=True)
        params = {
            "raw_csv": folder / "long.parquet",
            "data_root": folder / "data",
            "backbone.name": folder / "backbone",
            "backbone.layers": 1,
        }
        print(f"{options.series:,} series of {options.rows:,} days, 56 -> 14, 200 steps of 32 windows, tiny Llama")
        print("pipeline   seconds  peak MiB")
        for pipeline in options.pipelines:
            given = params | (WINDOW | TRAINING | SPLIT if pipeline in ("data", "train") else {})
            seconds, peak = run(pipeline, given)
            print(f"{pipeline:<10}{seconds:>8.1f}{peak:>10,.0f}", flush=True)
        newest = sorted((folder / "data/07_model_output/forecast.parquet").glob("*/forecast.parquet"))
        if newest:
            table = pd.read_parquet(newest[-1])
            print(f"forecast: {len(table):,} rows of {table.iloc[:, 0].nunique():,} series")


if __name__ == "__main__":
    main()
