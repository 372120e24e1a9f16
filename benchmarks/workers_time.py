"""Seconds of an update by several workers, against one process with as many threads; and where the time goes.

    python benchmarks/workers_time.py [--workers 2] [--accumulate 4] [--layers 12] [--rounds 7]

Both make the same updates of the same model, by turns in one run; medians are printed. One process has a thread for
each worker, and each worker has one thread. The time of a worker is: its steps (prompts, forward, backward), waiting
for the slowest worker, exchange of the gradients, and the optimizer.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

from peers import Setting, build, environment, load_backbone, median
from timellm_pipeline.parameters import TrainingParams
from timellm_pipeline.training.gradients import Gradients
from timellm_pipeline.training.updates import Updates
from timellm_pipeline.workers.group import WorkerGroup

PARTS = ("own steps", "waiting", "exchange", "optimizer")


class TimedGroup(WorkerGroup):
    """A group that measures how long it waits and how long it exchanges gradients."""

    seconds: dict[str, float] = {}  # noqa: RUF012 - one group in a process

    def add_in_order(self, *arguments: object) -> None:
        """As `WorkerGroup.add_in_order`, after waiting for all workers."""
        start = time.perf_counter()
        dist.barrier()
        waited = time.perf_counter()
        super().add_in_order(*arguments)  # type: ignore[arg-type] # arguments as they came
        self.seconds.update(waiting=waited - start, exchange=time.perf_counter() - waited)


def update(gradients: Gradients, optimizer: torch.optim.Optimizer, number: int) -> dict[str, float]:
    """One update; seconds of its parts."""
    group = gradients.updates.after(number * gradients.training.accumulate)
    batches = iter(gradients.load_from(group.first))
    start = time.perf_counter()
    list(gradients.compute(group, batches))
    computed = time.perf_counter()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    seconds = {name: TimedGroup.seconds.get(name, 0.0) for name in ("waiting", "exchange")}
    own = computed - start - sum(seconds.values())
    return {"own steps": own, **seconds, "optimizer": time.perf_counter() - computed}


def work(options: argparse.Namespace) -> None:
    """One worker. The first one also makes the updates alone, while the others wait."""
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    setting = Setting(layers=options.layers)
    peer = build("ours", setting, load_backbone(setting))
    ours, windows = peer.ours, peer.data
    assert ours is not None
    ours.network.train()
    training = TrainingParams(batch_size=setting.batch_size, accumulate=options.accumulate, num_workers=0)
    updates = Updates(10**6, options.accumulate, 10**6)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    optimizer = torch.optim.Adam(ours.network.trainables().values(), lr=1e-4)
    alone = Gradients(ours, windows, updates, scaler, training, WorkerGroup())
    shared = Gradients(ours, windows, updates, scaler, training, TimedGroup(rank, size))
    found: dict[str, list[dict[str, float]]] = {"one process": [], "workers": []}
    for number in range(options.rounds + 1):
        for name, gradients in (("one process", alone), ("workers", shared)):
            if name == "workers" or rank == 0:
                torch.set_num_threads(size if name == "one process" else 1)
                TimedGroup.seconds = {}
                seconds = update(gradients, optimizer, number)
                if number:  # the first round warms up
                    found[name].append(seconds)
            dist.barrier()
    if rank == 0:
        weights = sum(weight.numel() for weight in ours.network.trainables().values())
        report(found, options, weights)
    dist.destroy_process_group()


def report(found: dict[str, list[dict[str, float]]], options: argparse.Namespace, weights: int) -> None:
    """Print medians, their parts and the ratio."""
    print(environment())
    print(
        f"SmolLM2 {options.layers} layers, updates of {options.accumulate} steps of 8 windows, {weights:,} trainable "
        f"weights, {options.rounds} updates each by turns\n"
    )
    print(f"  {'':<22}{'s/update':>9}  " + "".join(f"{part:>12}" for part in PARTS))
    for name, runs in found.items():
        label = f"{options.workers} workers" if name == "workers" else f"one, {options.workers} threads"
        total = median([sum(run.values()) for run in runs])
        print(
            f"  {label:<22}{total:>9.3f}  " + "".join(f"{median([run[part] for run in runs]):>12.3f}" for part in PARTS)
        )
    pairs = zip(found["workers"], found["one process"], strict=True)
    ratio = median([sum(one.values()) / sum(other.values()) for one, other in pairs])
    print(f"\n  workers / one process: {ratio:.2f}")


def main() -> None:
    """Start the workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=4)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if "RANK" in os.environ:
        work(options)
        return
    words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={options.workers}", "--no-python"]
    script = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:]]
    quiet = {**os.environ, "OMP_NUM_THREADS": str(options.workers)}
    sys.exit(subprocess.run([sys.executable, *words, *script], env=quiet, check=False).returncode)


if __name__ == "__main__":
    main()
