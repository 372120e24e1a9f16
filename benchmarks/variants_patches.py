"""Changes of the code that variants.py compares, each active inside a context."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from timellm_pipeline.linear.residuals import Residuals
from timellm_pipeline.model import batches
from timellm_pipeline.model.network import Network
from timellm_pipeline.model.prefix import LayerStates
from timellm_pipeline.model.prompt import PromptWriter
from timellm_pipeline.training import loop
from variants_calendar import Calendar


def patched(variant: str, calendar: Calendar) -> AbstractContextManager[None]:
    """What a variant changes while a network is trained and forecasts."""
    changes: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "calendar in words": lambda: _words(calendar),
        "Huber loss": lambda: _loss(lambda output, target: nn.functional.huber_loss(output, target, delta=0.5)),
        "loss in units of the window": _scaled_loss,
    }
    return changes.get(variant, nullcontext)()


def change_network(variant: str, network: Network) -> None:
    """What a variant changes of a new network."""
    changes = {"normalisation layers trained": _train_norms, "head of rank 8": _low_rank}
    if variant in changes:
        changes[variant](network)


def _train_norms(network: Network) -> None:
    """Train the normalisation layers of the backbone, with gradients through the patches only.

    The states of the shared prompt are computed again for each batch, since the layers change.
    """
    states = network._shared_states

    def fresh(num_shared: int) -> LayerStates:
        network._shared = None
        return states(num_shared)

    network._shared_states = fresh  # type: ignore[method-assign]
    names = {name for name, weight in network.named_parameters() if name.startswith("backbone.") and "norm" in name}
    for name, weight in network.named_parameters():
        if name in names:
            weight.requires_grad_(True)

    def trainables() -> dict[str, nn.Parameter]:
        return {
            name: weight
            for name, weight in network.named_parameters()
            if name in names or not name.startswith("backbone.")
        }

    network.trainables = trainables  # type: ignore[method-assign]


def _low_rank(network: Network) -> None:
    """A head of rank 8 that starts at zero."""
    wide, horizon = network.head.in_features, network.head.out_features
    network.head = nn.Sequential(nn.Linear(wide, 8, bias=False), nn.Linear(8, horizon))  # type: ignore[assignment]
    nn.init.zeros_(network.head[1].weight)  # type: ignore[index]
    nn.init.zeros_(network.head[1].bias)  # type: ignore[index]


@contextmanager
def _loss(function: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    with patch.object(loop, "F", SimpleNamespace(mse_loss=function)):
        yield


@contextmanager
def _scaled_loss() -> Iterator[None]:
    """Squared errors divided by the variance of the window, which the network's output is multiplied with."""
    seen: list[Tensor] = []
    forward = Network.forward

    def remember(self: Network, x: Tensor, prompts: Any = None) -> Tensor:
        seen[:] = [x.var(dim=1, keepdim=True, unbiased=False) + 0.1]
        result: Tensor = forward(self, x, prompts)
        return result

    def scaled(output: Tensor, target: Tensor) -> Tensor:
        return ((output - target).square() / seen[0]).mean()

    with patch.object(Network, "forward", remember), _loss(scaled):
        yield


@contextmanager
def _words(calendar: Calendar) -> Iterator[None]:
    """Prompts that end with the calendar facts of their horizon."""
    texts = PromptWriter.texts

    def item(self: batches.BatchMaker, which: np.ndarray) -> batches.Batch:
        windows: Any = self.windows.windows if isinstance(self.windows, Residuals) else self.windows
        x, y = self.windows.gather(which)
        assert self.writer is not None
        words = [calendar.words(int(origin)) for origin in windows.origin(which)]

        def with_words(writer: PromptWriter, inputs: np.ndarray) -> list[str]:
            return [text + more for text, more in zip(texts(writer, inputs), words, strict=True)]

        with patch.object(PromptWriter, "texts", with_words):
            prompts = self.writer.tokens(x)
        return batches.Batch(which, torch.from_numpy(x), torch.from_numpy(y), prompts)

    with patch.object(batches.BatchMaker, "__getitem__", item):
        yield
