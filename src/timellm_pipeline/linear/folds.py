"""Blocked cross-validation of training windows: contiguous blocks in time, with a gap of one horizon on both sides.

Windows near a block share targets with its windows, so neither the block nor the gap is part of the fit.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from timellm_pipeline.parameters import WindowParams

BLOCKS = 4
HORIZONS_FOR_FOLDS = 5  # training windows in horizons: with fewer, a block and its gaps leave too little to fit


@dataclass(frozen=True)
class Folds:
    """Blocks of training windows, by the grid position where a window starts.

    Attributes:
        bounds: first start of each block, and the end of the last one.
        gap: starts that are excluded from the fit on each side of a block.
    """

    bounds: tuple[int, ...]
    gap: int

    @classmethod
    def of(cls, rows: tuple[int, int], window: WindowParams, most: int = BLOCKS) -> "Folds":
        """Equal blocks of the windows inside a row range; one block, which means no folds, if there are few windows.

        Args:
            rows: half-open row range.
            window: `seq_len` and `pred_len`.
            most: number of blocks.
        """
        count = max(rows[1] - rows[0] - window.seq_len - window.pred_len + 1, 0)
        num_blocks = most if count >= max(HORIZONS_FOR_FOLDS * window.pred_len, 2 * most) else 1
        bounds = tuple(rows[0] + count * block // num_blocks for block in range(num_blocks + 1))
        return cls(bounds, window.pred_len)

    def __len__(self) -> int:
        """Number of folds: at least two, or 0."""
        return len(self.bounds) - 1 if len(self.bounds) > 2 else 0

    def of_start(self, start: Int[np.ndarray, "windows"]) -> Int[np.ndarray, "windows"]:
        """Fold of windows by their start; windows outside the blocks belong to the nearest."""
        return np.clip(np.searchsorted(self.bounds, start, side="right") - 1, 0, max(len(self) - 1, 0))

    def pieces(self) -> list[tuple[int, int]]:
        """Ranges of starts inside which every window belongs to the same blocks and gaps."""
        inner = self.bounds[1:-1]
        edges = {*self.bounds, *(bound + side for bound in inner for side in (-self.gap, self.gap))}
        ordered = sorted(edge for edge in edges if self.bounds[0] <= edge <= self.bounds[-1])
        return list(itertools.pairwise(ordered))

    def holds(self, fold: int, start: int) -> bool:
        """Whether a window with this start is in the block."""
        return self.bounds[fold] <= start < self.bounds[fold + 1]

    def excludes(self, fold: int, start: int) -> bool:
        """Whether a window with this start is in the block or in its gap."""
        return self.bounds[fold] - self.gap <= start < self.bounds[fold + 1] + self.gap
