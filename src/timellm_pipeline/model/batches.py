"""Batches of windows with tokenised prompts, prepared in the main process or in worker processes."""

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from timellm_pipeline.model.prompt import PromptTokens, PromptWriter
from timellm_pipeline.series.sources import BatchSource


@dataclass(frozen=True)
class Batch:
    """A batch of windows.

    Attributes:
        which: window numbers.
        x: input points (lookback) in scaled units.
        y: target points (horizon) in scaled units.
        prompts: prompt tokens; None without a language model.
    """

    which: Int[np.ndarray, "batch"]
    x: Float[Tensor, "batch seq_len"]
    y: Float[Tensor, "batch pred_len"]
    prompts: PromptTokens | None

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device. The copy is non-blocking."""
        prompts = None if self.prompts is None else self.prompts.to(device)
        return Batch(self.which, self.x.to(device, non_blocking=True), self.y.to(device, non_blocking=True), prompts)

    def pin_memory(self) -> "Batch":
        """The batch in pinned (page-locked) memory. The DataLoader calls this if `pin_memory` is set."""
        prompts = None if self.prompts is None else self.prompts.pin_memory()
        return Batch(self.which, self.x.pin_memory(), self.y.pin_memory(), prompts)


class BatchMaker(Dataset[Batch]):
    """Dataset whose index is an array of window numbers and whose item is their batch.

    Each batch takes one gather and one tokenizer call.
    """

    def __init__(self, windows: BatchSource, writer: PromptWriter | None) -> None:
        self.windows, self.writer = windows, writer

    def __getitem__(self, which: Int[np.ndarray, "batch"]) -> Batch:
        x, y = self.windows.gather(which)
        prompts = None
        if self.writer is not None:
            prompts = self.writer.tokens(x, self.writer.about(self.windows.facts(which), self.windows.known(which)))
        return Batch(which, torch.from_numpy(x), torch.from_numpy(y), prompts)


class _Order(torch.utils.data.Sampler[np.ndarray]):
    """Sampler that yields one array of window numbers per batch."""

    def __init__(self, order: Iterable[np.ndarray]) -> None:
        self.order = order

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.order)


def load_batches(
    maker: BatchMaker, order: Iterable[np.ndarray], *, num_workers: int = 0, pin_memory: bool = False
) -> DataLoader[Batch]:
    """DataLoader over batches in the given order.

    It has its own random generator. By default the DataLoader would draw a seed from the global generator, which
    dropout also uses, and the dropout masks of a resumed run would differ from those of an uninterrupted run.

    Args:
        maker: dataset of batches.
        order: window numbers of each batch.
        num_workers: number of worker processes; 0: the main process prepares batches.
        pin_memory: whether batches are copied to pinned memory.
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
        worker_init_fn=_ignore_signals,
    )


def _ignore_signals(worker: int) -> None:
    """Ignore signals in a worker process.

    Signals reach the whole process group, and a terminated worker would prevent the parent from saving a checkpoint.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
