"""Coverage of the prediction intervals: the share of true values inside them."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.model.intervals import Intervals
from timellm_pipeline.parameters.forecast import LEVELS


class Coverage:
    """Counts true values inside the prediction intervals of each level. Without intervals nothing is counted."""

    def __init__(self, intervals: Intervals | None) -> None:
        self.widths = None if intervals is None else intervals.widths
        self.inside = np.zeros(len(LEVELS), dtype=np.int64)
        self.width = np.zeros(len(LEVELS))
        self.points = 0

    def add(self, errors: Float[np.ndarray, "batch pred_len"], channel: Int[np.ndarray, "batch"]) -> None:
        """Add a batch.

        Args:
            errors: forecast minus true value, in scaled units.
            channel: channel index of each window.
        """
        if self.widths is None:
            return
        known = np.isfinite(self.widths[0, channel]).all(axis=1)  # a channel without validation windows has no widths
        errors, half = errors[known], self.widths[:, channel[known]]
        self.inside += (np.abs(errors)[None] <= half).sum(axis=(1, 2))
        self.width += 2 * half.sum(axis=(1, 2), dtype=np.float64)
        self.points += errors.size

    def report(self) -> dict[str, Any]:
        """By level: the share of true values `inside`, and the mean `width` of the intervals in scaled units."""
        if not self.points:
            return {}
        return {
            str(level): {"inside": float(self.inside[row] / self.points), "width": float(self.width[row] / self.points)}
            for row, level in enumerate(LEVELS)
        }
