"""What batches of windows are made of: numbered windows, also of named series."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int

from timellm_pipeline.series.known import KnownValues


@runtime_checkable
class BatchSource(Protocol):
    """Numbered windows with inputs and targets."""

    def __len__(self) -> int: ...

    def gather(
        self, which: Int[np.ndarray, "batch"]
    ) -> tuple[Float32[np.ndarray, "batch seq_len"], Float32[np.ndarray, "batch pred_len"]]:
        """Inputs and targets of the windows with the given numbers, in scaled units."""
        ...

    def known(self, which: Int[np.ndarray, "batch"]) -> KnownValues | None:
        """Known columns in the rows of the windows; None without such columns."""
        ...

    def facts(self, which: Int[np.ndarray, "batch"]) -> list[str]:
        """Text about the series of each window; empty without static columns."""
        ...


@runtime_checkable
class SeriesWindows(BatchSource, Protocol):
    """Numbered windows of named series, which can be forecast."""

    @property
    def names(self) -> tuple[str, ...]:
        """Id of each series."""
        ...

    def channel(self, which: Int[np.ndarray, "batch"]) -> Int[np.ndarray, "batch"]:
        """Series index of each window."""
        ...
