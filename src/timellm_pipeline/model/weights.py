"""Put saved weights into a model, all of them or none."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from timellm_pipeline.errors import ModelError


@torch.no_grad()
def put_weights(own: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Copy saved weights into a model's own.

    Raises ModelError naming the weights that are missing, unknown or misshapen; nothing is copied then.
    """
    problems = [f"`{name}` is missing" for name in own.keys() - weights.keys()]
    problems += [f"`{name}` is unknown" for name in weights.keys() - own.keys()]
    problems += [
        f"`{name}` is {tuple(weights[name].shape)}, not {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if own[name].shape != weights[name].shape
    ]
    if problems:
        raise ModelError(
            f"the saved weights do not fit this model: {'; '.join(sorted(problems))}",
            where="trainable weights",
            do="load them with the parameters they were trained with",
        )
    for name, weight in own.items():
        weight.copy_(weights[name])
