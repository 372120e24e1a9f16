"""Kill a real `kedro run` many times, and compare its results with those of an undisturbed run.

    python benchmarks/kill_resume.py --kills 30
    python benchmarks/kill_resume.py --kills 20 --workers 2

A process is killed (SIGKILL) at a random moment after a new checkpoint has been published: `kedro run` itself or, with
workers, one of them. The undisturbed run has one process and no workers. At the end the model's weights and the test
metrics must be byte-equal, and so must the history except for its time columns.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil

ROOT = Path(__file__).parents[1]
TIME_COLUMNS = ["seconds_per_step", "peak_memory_mib"]
LONGEST_WAIT = 3.0  # seconds after a new checkpoint within which the process is killed


def command(data_root: Path, steps: int, workers: int) -> list[str]:
    """A real training on SmolLM2's first two layers with a checkpoint every second update."""
    params = {
        "workers.processes": workers,
        "workers.restarts": 1000,
        "data_root": data_root.as_posix(),
        "backbone.layers": 2,
        "window.window_step": 7,
        "training.batch_size": 8,
        "training.accumulate": 2,
        "training.max_steps": steps,
        "training.max_epochs": 100,
        "training.save_steps": 4,
        "training.validate_steps": 25,
        "training.log_steps": 1,
        "training.patience": 1000,
        "evaluation.test_step": 96,
        "evaluation.validation_step": 96,
    }
    words = ",".join(f"{name}={value}" for name, value in params.items())
    return [sys.executable, "-m", "kedro", "run", "--pipeline", "train", "--params", words]


def checkpoints(data_root: Path) -> set[str]:
    """Names of the published checkpoints."""
    return {path.name for path in data_root.glob("06_models/checkpoints/*/step-*")}


def newest_step(data_root: Path) -> int:
    """Step of the newest published checkpoint, 0 if there is none."""
    return max((int(name.removeprefix("step-")) for name in checkpoints(data_root)), default=0)


def last_step(data_root: Path) -> int:
    """The last step in the live history."""
    lines = [
        path.read_text(encoding="utf-8").splitlines() for path in data_root.glob("06_models/checkpoints/*/history.csv")
    ]
    return int(lines[0][-1].split(",")[0]) if lines and len(lines[0]) > 1 else 0


def workers_of(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The worker processes of a command, which are its children."""
    try:
        return [child for child in psutil.Process(process.pid).children() if "work" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


def run_until_killed(words: list[str], data_root: Path, rng: random.Random, log: Path, most: int) -> tuple[int, int]:
    """Run the command; after each new checkpoint, kill it or one of its workers. Returns its exit status and the kills.

    Args:
        most: number of kills after which the command is left alone.
    """
    kills = 0
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        while kills < most:
            before = newest_step(data_root)
            while process.poll() is None and newest_step(data_root) <= before:
                time.sleep(0.02)
            try:
                return process.wait(timeout=rng.uniform(0, LONGEST_WAIT)), kills
            except subprocess.TimeoutExpired:
                kills += 1
            workers = workers_of(process)
            victim = rng.randrange(len(workers) + 1)
            if victim == len(workers):
                process.kill()
                status = process.wait()
                psutil.wait_procs(workers, timeout=60)  # without their parent they save and leave
                return status, kills
            os.kill(workers[victim].pid, signal.SIGKILL)
            print(f"{'':>7}  {'':>12}  {'':>12}  {newest_step(data_root):>21}  worker killed", flush=True)
            psutil.wait_procs(workers, timeout=60)  # all of them are started again
        return process.wait(), kills


def newest(data_root: Path, pattern: str) -> Path:
    """The newest version of a result: a process killed after it saved one is followed by another version."""
    return max(data_root.glob(pattern))


def result(data_root: Path) -> dict[str, str]:
    """Digests of the results of a finished run."""
    weights = newest(data_root, "06_models/timellm_model/*/timellm_model/model.safetensors")
    metrics = newest(data_root, "08_reporting/test_metrics.json/*/test_metrics.json")
    history = newest(data_root, "06_models/training_history.parquet/*/training_history.parquet")
    rows = pd.read_parquet(history).drop(columns=TIME_COLUMNS).to_csv(index=False)
    return {
        "model.safetensors": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "test_metrics.json": hashlib.sha256(metrics.read_bytes()).hexdigest(),
        "history (without times)": hashlib.sha256(rows.encode()).hexdigest(),
    }


def main() -> int:
    """Run, kill, compare; status 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="kill_resume-"))
    undisturbed, disturbed, log = folder / "undisturbed", folder / "disturbed", folder / "log.txt"
    print(f"undisturbed run of {options.steps} steps …", flush=True)
    if options.workers > 1:  # the number of threads is part of the content id
        os.environ["OMP_NUM_THREADS"] = "1"
    subprocess.run(command(undisturbed, options.steps, 1), cwd=ROOT, check=True, capture_output=True)
    print("process  resumed from  steps it ran  checkpoint at its end  ended by", flush=True)
    words = command(disturbed, options.steps, options.workers)
    kills = processes = 0
    while True:
        status, found_kills = run_until_killed(words, disturbed, rng, log, options.kills - kills)
        killed = status == -signal.SIGKILL
        kills, processes = kills + found_kills, processes + 1
        text = log.read_text(encoding="utf-8")
        found = re.search(r"resuming from step ([\d,]+)", text)
        ended = "SIGKILL" if killed else f"itself, status {status}"
        start = int(found.group(1).replace(",", "")) if found else 0
        ran = last_step(disturbed) - start
        print(f"{processes:>7}  {start:>12}  {ran:>12}  {newest_step(disturbed):>21}  {ended}", flush=True)
        if not killed:
            break
    if status != 0:
        print(text)
        return 1
    manifest = newest(disturbed, "08_reporting/run_manifest.json/*/run_manifest.json")
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    print(f"{kills} kills; the manifest's resumed_from: {facts['resumed_from']}")
    one, other = result(undisturbed), result(disturbed)
    for name, digest in one.items():
        print(f"{'equal' if other[name] == digest else 'DIFFERENT':<9}  {name:<28}  {digest[:16]}  {other[name][:16]}")
    shutil.rmtree(folder)
    return 0 if one == other and kills >= options.kills else 1


if __name__ == "__main__":
    sys.exit(main())
