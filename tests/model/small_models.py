"""Small models around the tiny backbones, the same from the same seed."""

from pathlib import Path

import torch

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import Parameters

DESCRIPTION = "Hourly load and oil temperature of a transformer."
UNREAD = "reprogramming.key.bias"  # it cancels in the softmax: its gradient is rounding error alone


def build(parameters: Parameters, cache: Path, seed: int = 0) -> TimeLLM:
    """An untrained model in evaluation mode, without a linear part: the head of a correction starts at zero."""
    alone = parameters.model.model_copy(update={"linear": "none"})
    loaded = BackboneSource(cache).load(parameters.backbone, Compute())
    torch.manual_seed(seed)
    return TimeLLM.around(parameters.window, parameters.prompt, alone, loaded, DESCRIPTION).eval()


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float((one - other).abs().max() / other.abs().max())


def forward_and_backward(model: TimeLLM, windows: torch.Tensor) -> dict[str, torch.Tensor]:
    """The forecast, and the gradient of each trainable weight that is read."""
    model.network.zero_grad()
    forecast = model(windows)
    forecast.square().mean().backward()
    weights = model.network.trainables()
    return {"forecast": forecast.detach()} | {
        name: weight.grad.clone() for name, weight in weights.items() if name != UNREAD
    }
