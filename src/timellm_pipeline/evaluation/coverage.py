"""How often the truth lies inside the prediction intervals."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.model.intervals import HalfWidths
from timellm_pipeline.parameters.forecast import LEVELS


class Coverage:
    """Truths inside each level's intervals, counted over the test. Without half-widths nothing is counted."""

    def __init__(self, widths: HalfWidths | None) -> None:
        self.widths = widths
        self.inside = np.zeros(len(LEVELS), dtype=np.int64)
        self.width = np.zeros(len(LEVELS))
        self.points = 0

    def add(self, errors: Float[np.ndarray, "batch pred_len"], channel: Int[np.ndarray, "batch"]) -> None:
        """Count a batch; errors in scaled units."""
        if self.widths is None:
            return
        half = self.widths[:, channel]
        self.inside += (np.abs(errors)[None] <= half).sum(axis=(1, 2))
        self.width += 2 * half.sum(axis=(1, 2), dtype=np.float64)
        self.points += errors.size

    def report(self) -> dict[str, Any]:
        """By level: the share of truths `inside`, and the mean `width` of the intervals in scaled units."""
        if not self.points:
            return {}
        return {
            str(level): {"inside": float(self.inside[row] / self.points), "width": float(self.width[row] / self.points)}
            for row, level in enumerate(LEVELS)
        }
