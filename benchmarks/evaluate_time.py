"""Windows a second in evaluation: ours against the published method on the same backbone.

    python benchmarks/evaluate_time.py [--upstream PATH] [--rounds 7]

Peers take turns; the medians of their rounds are printed. The published code evaluates in batches of training's size;
ours has its own batch size (`evaluation.batch_size`), so it is timed at both.
"""

import time

import numpy as np
import torch

from peers import NAMES, build, environment, load_backbone, median, others, parser, setting_of
from timellm_pipeline.parameters import EvaluationParams


def main() -> None:
    """Print the table."""
    options = parser(__doc__).parse_args()
    setting = setting_of(options)
    names = ["ours", "equal", "reference", *others(options)]
    peers = {name: build(name, setting, load_backbone(setting), options.upstream) for name in names}
    sizes = dict.fromkeys(names, setting.batch_size)
    own = f"ours, default parameters, batch {EvaluationParams().batch_size}"
    peers[own], sizes[own] = peers["ours"], EvaluationParams().batch_size
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 20_000, max(sizes.values())) for _ in range(options.rounds + 1)]
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for number, which in enumerate(batches):
        for name, peer in peers.items():
            if number == 0:
                peer.module.eval()
            start = time.perf_counter()
            with torch.no_grad():
                peer.forward(which[: sizes[name]])
            if number:  # the first round is a warm-up, and computes what is cached for an evaluation
                seconds[name].append(time.perf_counter() - start)
    base = "upstream" if options.upstream else "reference"
    print(
        f"{environment()}\nSmolLM2 {setting.layers} layers, {setting.seq_len} -> {setting.pred_len}, "
        f"batch {setting.batch_size}, float32, {options.rounds} interleaved rounds\n"
    )
    print(f"{'':<60} {'s/batch':>8} {'windows/s':>10} {'ratio':>7}   (ratio: this / {NAMES[base]})")
    for name in peers:
        rate, reference = (sizes[one] / median(seconds[one]) for one in (name, base))
        print(f"  {NAMES.get(name, name):<58} {median(seconds[name]):>8.3f} {rate:>10.2f} {rate / reference:>7.2f}")


if __name__ == "__main__":
    main()
