"""A training step against its lower bound: the time of the arithmetic that it needs.

    python benchmarks/floor.py [--rounds 7]

The lower bound is the operations of a step over the rate of a 2048 x 2048 x 2048 float32 product, measured in between:
2 N for each token of a window's own prompt (forward), 4 N for each patch token (forward, and backward to its inputs;
frozen weights need no gradient of their own), N being the weights of the backbone's blocks; attention itself; and
three times the forward of prototypes, reprogramming and head.
"""

import time

import numpy as np
import torch

from peers import NAMES, Peer, Setting, build, environment, load_backbone, median, parser, setting_of
from step_time import step

SIZE = 2048


def product_seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    """Seconds of one large product."""
    start = time.perf_counter()
    left @ right
    return time.perf_counter() - start


def step_operations(peer: Peer, setting: Setting, which: np.ndarray) -> tuple[float, float]:
    """Operations of a step in the backbone, and outside it."""
    assert peer.ours is not None and peer.ours.writer is not None
    backbone = peer.ours.network.backbone
    prompts = peer.ours.writer.tokens(peer.data.gather(which)[0])
    own, shared = prompts.ids.shape[1], prompts.num_shared
    patches, batch = setting.window.patches_per_window, setting.batch_size
    config = backbone.config
    weights = sum(weight.numel() for weight in backbone.layers.parameters())
    # attention: scores and mixing, 2 products of (tokens x context x width) each, in each layer
    width = config.num_attention_heads * (config.hidden_size // config.num_attention_heads) * len(backbone.layers)
    own_attention = 4 * own * (shared + own) * width
    patch_attention = 4 * patches * (shared + own + patches) * width
    inside = batch * (2 * weights * own + own_attention + 4 * weights * patches + 3 * patch_attention)
    inner, wide = setting.d_ff * setting.num_heads, config.hidden_size
    prototypes = 2 * 2 * setting.num_prototypes * wide * inner
    attention = batch * patches * (2 * setting.d_model * inner + 4 * setting.num_prototypes * inner + 2 * inner * wide)
    head = batch * 2 * setting.d_ff * patches * setting.pred_len
    return float(inside), float(3 * (prototypes + attention + head))


def main() -> None:
    """Print the lower bound, the time of a step, and their ratio."""
    options = parser(__doc__).parse_args()
    setting = setting_of(options)
    peers = {name: build(name, setting, load_backbone(setting)) for name in ("ours", "compiled")}
    optimizers = {name: torch.optim.Adam(peer.weights(), lr=1e-3) for name, peer in peers.items()}
    rng = np.random.default_rng(0)
    left, right = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    products, bounds = [], []
    for number in range(options.rounds + 1):
        which = rng.integers(0, 20_000, setting.batch_size)
        rates = [product_seconds(left, right) for _ in range(3)]
        for name, peer in peers.items():
            peer.module.train()
            start = time.perf_counter()
            step(peer, optimizers[name], which)
            if number:
                seconds[name].append(time.perf_counter() - start)
            rates += [product_seconds(left, right) for _ in range(3)]
        inside, outside = step_operations(peer, setting, which)
        if number:
            products.append(2 * SIZE**3 / median(rates))
            bounds.append((inside + outside) / products[-1])
    print(f"{environment()}\nSmolLM2 {setting.layers} layers, batch {setting.batch_size}, default parameters\n")
    print(f"  operations of a step   {inside / 1e9:8.1f} G in the backbone, {outside / 1e9:.1f} G outside it")
    print(f"  measured product rate  {median(products) / 1e9:8.1f} G/s (float32, {SIZE}^3)")
    print(f"  lower bound            {median(bounds):8.3f} s")
    for name, ours in seconds.items():
        ratios = [one / bound for one, bound in zip(ours, bounds, strict=True)]
        print(f"  {NAMES[name]:<25} {median(ours):5.3f} s, {median(ratios):.2f} times the lower bound")


if __name__ == "__main__":
    main()
