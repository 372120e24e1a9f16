"""What a correction is trained on: windows whose targets are the errors of linear forecasts that did not see them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int

from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.linear.remainder import Remainder
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.windows import Windows


@dataclass(frozen=True)
class Residuals:
    """Training windows with the residuals of cross-fitted linear forecasts as targets.

    Residuals of a map that was fitted on the same windows would be too small.
    """

    windows: Windows
    part: LinearPart

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def _numbers(self) -> Int[np.ndarray, "series"]:
        return self.part.numbers(self.windows.names)

    @cached_property
    def _remainder(self) -> Remainder:
        return Remainder(self.windows, self.part.effects, lambda which: self.part.folds.of_start(self._start(which)))

    def _start(self, which: Int[np.ndarray, "batch"]) -> Int[np.ndarray, "batch"]:
        """Grid position of the first row of each window."""
        return self.windows.origin(which) - self.windows.seq_len + 1

    def gather(
        self, which: Int[np.ndarray, "batch"]
    ) -> tuple[Float32[np.ndarray, "batch seq_len"], Float32[np.ndarray, "batch pred_len"]]:
        """Inputs, and targets less their linear forecasts, in scaled units; both without effects of known columns."""
        windows = self.windows
        x, y = self._remainder.gather(which)
        series = self._numbers[windows.channel(which)]
        return x, (y - self.part.cross_fitted(x, series, self._start(which))).astype(np.float32)

    def known(self, which: Int[np.ndarray, "batch"]) -> KnownValues | None:
        """Known columns of the windows, for the prompt; None if the model does not use them."""
        return self._remainder.known(which)

    def facts(self, which: Int[np.ndarray, "batch"]) -> list[str]:
        """Text about the series of each window."""
        return self.windows.facts(which)
