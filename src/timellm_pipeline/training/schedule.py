"""The learning rate of each update, as a function of its number: there is no scheduler state to save or restore."""

import math
from dataclasses import dataclass

from timellm_pipeline.parameters import TrainingParams

WARM_UP = 0.05  # share of all updates in which the cosine schedule warms up to the peak


@dataclass(frozen=True)
class Schedule:
    """Learning rates of a run of `num_updates` updates, with `updates_per_epoch` updates per epoch."""

    training: TrainingParams
    num_updates: int
    updates_per_epoch: int

    def rate(self, update: int) -> float:
        """Learning rate of an update, counted from 0."""
        peak = self.training.learning_rate
        if self.training.schedule == "constant":
            return peak
        if self.training.schedule == "halving":
            # The learning rates of the published code: it creates a one-cycle schedule and never steps it.
            return peak * 0.5 ** max(0, update // self.updates_per_epoch - 1)
        warm_up = max(1, round(WARM_UP * self.num_updates))
        if update < warm_up:
            return peak * (update + 1) / warm_up
        progress = (update - warm_up) / max(1, self.num_updates - warm_up)
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
