"""Replace the pretrained weights of a backbone by random ones of the same scale, for the ablation without pretraining.

Source: Tan et al. 2024, "Are Language Models Actually Useful for Time Series Forecasting?".
"""

import torch
from torch import nn

SEED = 0


@torch.no_grad()
def randomize(backbone: nn.Module) -> None:
    """Draw every matrix from a normal distribution with its mean and standard deviation; the same in each process.

    Vectors (norms and biases) keep their values: they set the scale of the states.
    """
    generator = torch.Generator().manual_seed(SEED)
    for weight in backbone.parameters():
        if weight.dim() > 1:
            values = weight.float()
            noise = torch.randn(weight.shape, generator=generator).to(weight.device)
            weight.copy_(noise * values.std() + values.mean())
