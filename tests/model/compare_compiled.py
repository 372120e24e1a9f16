"""Print how far compiled training is from plain training, for three batches of unlike prompts."""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import random_windows, small_parameters
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.timellm import TimeLLM

UNREAD = "reprogramming.key.bias"  # it cancels in the softmax: its gradient is rounding alone


def run(model: TimeLLM, windows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Forecast and gradients."""
    model.zero_grad()
    forecast = model(windows)
    forecast.square().mean().backward()
    gradients = {name: weight.grad.clone() for name, weight in model.trainables().items() if name != UNREAD}
    return {"forecast": forecast.detach(), **gradients}


def main() -> None:
    """Compare."""
    parameters = small_parameters(sys.argv[1], model={"dropout": 0.0})
    loaded = BackboneSource().load(parameters.backbone, Compute())
    model = TimeLLM.around(parameters.window, parameters.prompt, parameters.model, loaded, "a series")
    model.train()
    batches = [torch.from_numpy(random_windows(6, 48, seed=seed)) for seed in (5, 6, 7, 8)]
    lengths = [model.prompts_for(batch.numpy()).ids.shape[1] for batch in batches]
    plain = [run(model, batch) for batch in batches]
    model.compile_training()
    torch._dynamo.utils.counters.clear()
    compiled = [run(model, batch) for batch in batches]
    differences = {
        name: max(
            float((made[name] - value[name]).abs().max() / value[name].abs().max().clamp_min(1e-12))
            for made, value in zip(compiled, plain, strict=True)
        )
        for name in plain[0]
    }
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    print(json.dumps({"prompt_lengths": lengths, "graphs": graphs, "differences": differences}))


if __name__ == "__main__":
    main()
