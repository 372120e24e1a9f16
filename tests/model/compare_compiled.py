"""Print how far compiled training is from uncompiled training, for batches with prompts of different lengths."""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from small_models import build, forward_and_backward

from conftest import random_windows, small_parameters


def main() -> None:
    """Compare."""
    parameters = small_parameters(sys.argv[1], model={"dropout": 0.0})
    model = build(parameters, Path(sys.argv[2])).train()
    batches = [torch.from_numpy(random_windows(6, 48, seed=seed)) for seed in (5, 6, 7, 8)]
    lengths = [model.writer.tokens(batch.numpy()).ids.shape[1] for batch in batches]
    uncompiled = [forward_and_backward(model, batch) for batch in batches]
    model.network.compile_training()
    torch._dynamo.utils.counters.clear()
    compiled = [forward_and_backward(model, batch) for batch in batches]
    differences = {
        name: max(
            float((made[name] - value[name]).abs().max() / value[name].abs().max().clamp_min(1e-12))
            for made, value in zip(compiled, uncompiled, strict=True)
        )
        for name in uncompiled[0]
    }
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    print(json.dumps({"prompt_lengths": lengths, "graphs": graphs, "differences": differences}))


if __name__ == "__main__":
    main()
