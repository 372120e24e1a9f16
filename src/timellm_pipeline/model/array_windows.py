"""Windows in an array, and the order of batches. Does not import torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int

from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.sources import SeriesWindows


@dataclass(frozen=True)
class ArrayWindows:
    """Windows without targets.

    Attributes:
        inputs: input points in scaled units.
        names: id of each series.
        number: series index of each window.
        texts: text about the series of each window; empty without static columns.
        columns: known columns of the windows; None without them.
    """

    inputs: Float32[np.ndarray, "windows seq_len"]
    names: tuple[str, ...]
    number: Int[np.ndarray, "windows"]
    texts: tuple[str, ...] = ()
    columns: KnownValues | None = None

    @classmethod
    def of(cls, inputs: Float32[np.ndarray, "windows seq_len"], series: Sequence[str] | None = None) -> "ArrayWindows":
        """Windows of the given series; without ids, of unknown series."""
        if series is None:
            return cls(inputs, ("",), np.zeros(len(inputs), dtype=np.int64))
        names = tuple(dict.fromkeys(series))
        return cls(inputs, names, np.array([names.index(name) for name in series], dtype=np.int64))

    @classmethod
    def chosen(cls, windows: SeriesWindows, which: Int[np.ndarray, "chosen"]) -> "ArrayWindows":
        """Some windows of others, numbered anew."""
        inputs, texts = windows.gather(which)[0], tuple(windows.facts(which))
        return cls(inputs, windows.names, windows.channel(which), texts, windows.known(which))

    def channel(self, which: Int[np.ndarray, "batch"]) -> Int[np.ndarray, "batch"]:
        """Series index of each window."""
        return self.number[which]

    def __len__(self) -> int:
        return len(self.inputs)

    def gather(self, which: Int[np.ndarray, "batch"]) -> tuple[np.ndarray, np.ndarray]:
        """Inputs, and targets with a horizon of 0 points."""
        return self.inputs[which], np.zeros((len(which), 0), dtype=np.float32)

    def known(self, which: Int[np.ndarray, "batch"]) -> KnownValues | None:
        """Known columns of the windows."""
        return None if self.columns is None else replace(self.columns, values=self.columns.values[which])

    def facts(self, which: Int[np.ndarray, "batch"]) -> list[str]:
        """Text about the series of each window."""
        return [self.texts[number] for number in which] if self.texts else []


def in_order(num_windows: int, batch_size: int) -> Iterator[np.ndarray]:
    """Window numbers of each batch, in index order. The last batch may be short."""
    for first in range(0, num_windows, batch_size):
        yield np.arange(first, min(first + batch_size, num_windows))
