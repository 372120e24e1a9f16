"""Batches of windows with their prompts, made ahead of the device, here or in worker processes."""

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from timellm_pipeline.model.prompt import PromptTokens, PromptWriter
from timellm_pipeline.series.windows import Windows


@dataclass(frozen=True)
class Batch:
    """Windows side by side: `which` numbers them, `x` the model sees, `y` it is to forecast (scaled units)."""

    which: Int[np.ndarray, "batch"]
    x: Float[Tensor, "batch seq_len"]
    y: Float[Tensor, "batch pred_len"]
    prompts: PromptTokens | None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device; the copy does not wait."""
        prompts = None if self.prompts is None else self.prompts.to(device)
        return Batch(self.which, self.x.to(device, non_blocking=True), self.y.to(device, non_blocking=True), prompts)

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory (called by the loader when there is a GPU)."""
        prompts = None if self.prompts is None else self.prompts.pin_memory()
        return Batch(self.which, self.x.pin_memory(), self.y.pin_memory(), prompts)


class BatchMaker(Dataset[Batch]):
    """Makes the batch of the window numbers it is asked for: one gather, one tokenizer call."""

    def __init__(self, windows: Windows, writer: PromptWriter | None) -> None:
        self.windows, self.writer = windows, writer

    def __getitem__(self, which: Int[np.ndarray, "batch"]) -> Batch:
        x, y = self.windows.gather(which)
        prompts = None if self.writer is None else self.writer.tokens(x)
        return Batch(which, torch.from_numpy(x), torch.from_numpy(y), prompts)


class _Order(torch.utils.data.Sampler[np.ndarray]):
    """Hands the loader one array of window numbers after the other."""

    def __init__(self, order: Iterable[np.ndarray]) -> None:
        self.order = order

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.order)


def load_batches(
    maker: BatchMaker, order: Iterable[np.ndarray], *, num_workers: int = 0, pin_memory: bool = False
) -> DataLoader[Batch]:
    """A loader over batches in the given order.

    Its generator is its own: the default one would be drawn from the global one, which dropout uses, and a resumed
    run would then drop other units than an undisturbed one.
    """
    return DataLoader(
        maker,
        sampler=_Order(order),
        batch_size=None,
        num_workers=num_workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),
        multiprocessing_context="spawn" if num_workers else None,
        prefetch_factor=4 if num_workers else None,
        worker_init_fn=_leave_signals_to_the_parent,
    )


def _leave_signals_to_the_parent(worker: int) -> None:
    """Signals reach the whole process group; a worker that died of them would stop the parent's save."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def in_order(num_windows: int, batch_size: int) -> Iterator[np.ndarray]:
    """Every window once, in the index's order; the last batch may be short."""
    for first in range(0, num_windows, batch_size):
        yield np.arange(first, min(first + batch_size, num_windows))
