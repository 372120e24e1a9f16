"""Windows without the effects of known columns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Int

from timellm_pipeline.linear.effects import KnownEffects
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.sources import SeriesWindows


@dataclass(frozen=True)
class Remainder:
    """Windows less the effects of their known columns.

    Attributes:
        windows: the windows.
        effects: the effects; None: there are none.
        fold_of: fold of training windows, whose effects are those that were fitted without it; None for other windows.
    """

    windows: SeriesWindows
    effects: KnownEffects | None
    fold_of: Callable[[Int[np.ndarray, "batch"]], Int[np.ndarray, "batch"]] | None = None

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def _numbers(self) -> Int[np.ndarray, "series"]:
        return self.effects.numbers(self.windows.names) if self.effects else np.zeros(0, dtype=np.int64)

    def gather(
        self, which: Int[np.ndarray, "batch"]
    ) -> tuple[Float32[np.ndarray, "batch seq_len"], Float32[np.ndarray, "batch pred_len"]]:
        """Inputs and targets without effects, in scaled units."""
        x, y = self.windows.gather(which)
        if self.effects is None:
            return x, y
        effect = self._effects(which)
        past, future = effect[:, : x.shape[1]], effect[:, x.shape[1] :]
        return (x - past).astype(np.float32), (y - future[:, : y.shape[1]]).astype(np.float32)

    def future(self, which: Int[np.ndarray, "batch"], seq_len: int) -> Float[np.ndarray, "batch #pred_len"]:
        """Effects in the horizon of the windows, in scaled units; 0 without effects."""
        return np.zeros((len(which), 1)) if self.effects is None else self._effects(which)[:, seq_len:]

    def _effects(self, which: Int[np.ndarray, "batch"]) -> Float[np.ndarray, "batch rows"]:
        assert self.effects is not None
        fold = None if self.fold_of is None else self.fold_of(which)
        return self.effects.of(self.windows.known(which), self._numbers[self.windows.channel(which)], fold)

    def known(self, which: Int[np.ndarray, "batch"]) -> KnownValues | None:
        """Known columns of the windows, for the prompt; None if the model does not use them."""
        return None if self.effects is None else self.windows.known(which)

    def facts(self, which: Int[np.ndarray, "batch"]) -> list[str]:
        """Text about the series of each window."""
        return self.windows.facts(which)
