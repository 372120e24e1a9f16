"""Seconds a training step and peak memory: ours against the published method on the same backbone.

    python benchmarks/step_time.py [--upstream PATH] [--rounds 7] [--profile]
    pip install neuralforecast      # its TimeLLM is then timed, too

A step is prompts, forward, backward and optimizer. Peers take turns, so that a change in the machine's speed affects
all of them; medians and their ratios are printed. Memory needs a process for each peer, because peak memory never
falls within a process; that of the compiled step is not measured, because its process contains the compiler too. With
--profile it prints the ten operations that take longest in a step of the published method and of ours, and nothing
else.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from peers import NAMES, Peer, build, environment, load_backbone, median, others, parser, setting_of


def step(peer: Peer, optimizer: torch.optim.Optimizer, which: np.ndarray) -> float:
    """One training step; returns its loss."""
    forecast, truth = peer.forward(which)
    loss = F.mse_loss(forecast, truth)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def status_mib(key: str) -> float:
    """A memory figure of this process from /proc, in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def measure_memory(name: str, options: argparse.Namespace) -> float:
    """Peak of a step above the loaded backbone, in MiB, in this process alone."""
    setting = setting_of(options)
    loaded = load_backbone(setting)
    for weight in loaded.model.parameters():
        weight.data = weight.data.clone()  # memory-mapped pages of the file count as loaded, too
    before = status_mib("VmRSS")
    peer = build(name, setting, loaded, options.upstream)
    optimizer = torch.optim.Adam(peer.weights(), lr=1e-3)
    peer.module.train()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the peak
    for number in range(3):
        step(peer, optimizer, np.arange(number * 100, number * 100 + setting.batch_size))
    return status_mib("VmHWM") - before


def print_profile(name: str, options: argparse.Namespace) -> None:
    """The ten operations that take longest in a step."""
    setting = setting_of(options)
    peer = build(name, setting, load_backbone(setting), options.upstream)
    optimizer = torch.optim.Adam(peer.weights(), lr=1e-3)
    peer.module.train()
    step(peer, optimizer, np.arange(setting.batch_size))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step(peer, optimizer, np.arange(100, 100 + setting.batch_size))
    operations = sorted(profile.key_averages(), key=lambda one: -one.self_cpu_time_total)
    total = sum(one.self_cpu_time_total for one in operations)
    print(f"\n{NAMES[name]}: {total / 1e6:.3f} s in operations")
    for one in operations[:10]:
        share = 100 * one.self_cpu_time_total / total
        print(f"  {one.key[:56]:<56} {one.self_cpu_time_total / 1e3:>9.1f} ms {share:>5.1f} %  {one.count:>6} calls")


def main() -> None:
    """Print the table."""
    made = parser(__doc__)
    made.add_argument("--memory-of", help="measure one peer's memory and print it as JSON (used by the benchmark)")
    made.add_argument("--profile", action="store_true", help="print the profile of a step, and nothing else")
    options = made.parse_args()
    if options.profile:
        for name in ("upstream" if options.upstream else "reference", "ours"):
            print_profile(name, options)
        return
    if options.memory_of:
        print(json.dumps({"mib": measure_memory(options.memory_of, options)}))
        return
    setting = setting_of(options)
    names = ["ours", "compiled", "equal", "reference", *others(options)]
    peers = {name: build(name, setting, load_backbone(setting), options.upstream) for name in names}
    equal, published = peers["equal"].ours, peers["reference"].module.state_dict()
    assert equal is not None
    equal.load_upstream_state_dict({name: weight for name, weight in published.items() if "llm_model" not in name})
    if "upstream" in peers:
        state = {f"model.{name}": weight for name, weight in published.items()}
        peers["upstream"].module.load_state_dict(state, strict=False)
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 20_000, setting.batch_size) for _ in range(options.rounds + 1)]
    print(
        f"{environment()}\nSmolLM2 {setting.layers} layers, {setting.seq_len} -> {setting.pred_len}, "
        f"batch {setting.batch_size}, float32, {options.rounds} interleaved rounds"
    )
    print("\nloss of the first batch, equal inputs and weights, no dropout (each window alone / as one batch)")
    for name, peer in peers.items():
        peer.module.eval()
        with torch.no_grad():
            alone = [F.mse_loss(*peer.forward(batches[0][[row]])).item() for row in range(setting.batch_size)]
            together = F.mse_loss(*peer.forward(batches[0])).item()
        note = "  (weights and prompts of its own)" if name in ("ours", "compiled", "neuralforecast") else ""
        print(f"  {NAMES[name]:<58} {np.mean(alone):.6f} / {together:.6f}{note}")
    optimizers = {name: torch.optim.Adam(peer.weights(), lr=1e-3) for name, peer in peers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for number, which in enumerate(batches):
        for name, peer in peers.items():
            peer.module.train()
            start = time.perf_counter()
            step(peer, optimizers[name], which)
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    memory = {}
    for name in (name for name in names if name != "compiled"):
        words = [
            sys.executable,
            __file__,
            "--memory-of",
            name,
            "--layers",
            str(setting.layers),
            "--batch-size",
            str(setting.batch_size),
        ]
        words += ["--upstream", str(options.upstream)] if options.upstream else []
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        memory[name] = json.loads(done.stdout.splitlines()[-1])["mib"]
    base = "upstream" if "upstream" in peers else "reference"
    print(f"\n{'':<60} {'s/step':>8} {'ratio':>7} {'peak MiB':>9} {'ratio':>7}   (ratio: {NAMES[base]} / this)")
    for name in names:
        mid, reference = median(seconds[name]), median(seconds[base])
        held = f"{memory[name]:>9.0f} {memory[base] / memory[name]:>7.2f}" if name in memory else f"{'-':>9} {'-':>7}"
        print(f"  {NAMES[name]:<58} {mid:>8.3f} {reference / mid:>7.2f} {held}")


if __name__ == "__main__":
    main()
