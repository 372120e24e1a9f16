"""Read saved weights, compare them with a model, and copy them into it: either all of them or none."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from timellm_pipeline.errors import ModelError


def read_finite(content: bytes, where: Path) -> dict[str, Tensor]:
    """Weights in a safetensors file, on the CPU.

    Args:
        content: bytes of the file.
        where: its path, for messages.

    Raises ModelError if the content is not a safetensors file, or if weights are not finite numbers.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        weights = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"cannot read the weights: {error}", where=str(where), do="use another version, or train again"
        ) from error
    refuse_not_finite(weights, where)
    return weights


def refuse_not_finite(weights: Mapping[str, Tensor], where: Path) -> None:
    """Raise ModelError with the names of weights that contain NaN or infinity."""
    bad = sorted(name for name, weight in weights.items() if not torch.isfinite(weight).all())
    if bad:
        raise ModelError(
            f"weights contain values that are not finite numbers: {', '.join(bad)}",
            where=str(where),
            do="use another version, or train again",
        )


def compare_shapes(expected: Mapping[str, Sequence[int]], saved: Mapping[str, Sequence[int]], where: str) -> None:
    """Raise ModelError with the saved weights that are missing, unknown or have another shape."""
    problems = [f"`{name}` is missing" for name in expected.keys() - saved.keys()]
    problems += [f"`{name}` is unknown" for name in saved.keys() - expected.keys()]
    problems += [
        f"`{name}` is {tuple(saved[name])}, not {tuple(expected[name])}"
        for name in expected.keys() & saved.keys()
        if tuple(saved[name]) != tuple(expected[name])
    ]
    if problems:
        raise ModelError(
            f"the saved weights do not fit this model: {'; '.join(sorted(problems))}",
            where=where,
            do="use the parameters that the weights were trained with",
        )


@torch.no_grad()
def put_weights(own: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Copy saved weights into the parameters of a model.

    Raises ModelError if weights are missing, unknown or have another shape; then nothing is copied.
    """
    compare_shapes(
        {name: weight.shape for name, weight in own.items()},
        {name: weight.shape for name, weight in weights.items()},
        "trainable weights",
    )
    for name, weight in own.items():
        weight.copy_(weights[name])
