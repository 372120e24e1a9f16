"""An exponential moving average (EMA) of the trainable weights.

A correction is small next to the noise of single updates, and its weights are not selected on validation: the average
over the last updates replaces early stopping.

Source: Polyak and Juditsky 1992; the warm-up of the decay is that of Adam-style averages in image generation.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

DECAY = 0.99


class Average:
    """The moving average of named weights.

    Args:
        weights: the trainable weights; the average starts from their values.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._current = dict(weights)
        self.weights = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, num_updates: int) -> None:
        """Add the current weights after an update.

        Args:
            num_updates: updates made so far. The decay grows with it, so that the initial weights are soon forgotten.
        """
        decay = min(DECAY, (1 + num_updates) / (10 + num_updates))
        averages = list(self.weights.values())
        torch._foreach_lerp_(averages, list(self._current.values()), 1 - decay)

    @torch.no_grad()
    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, average in self.weights.items():
            average.copy_(saved[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights inside the context."""
        kept = {name: weight.detach().clone() for name, weight in self._current.items()}
        self._set(self.weights)
        try:
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self._current.items():
            weight.copy_(values[name])
