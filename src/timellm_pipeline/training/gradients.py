"""Gradients of updates, computed by one process or by a group of workers with the same bytes."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch.utils.data import DataLoader

from timellm_pipeline.model.batches import Batch, BatchMaker, load_batches
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import TrainingParams
from timellm_pipeline.series.sources import BatchSource
from timellm_pipeline.training.order import batch_order
from timellm_pipeline.training.randomness import seed_step
from timellm_pipeline.training.updates import Group, Updates
from timellm_pipeline.workers.group import WorkerGroup


class Gradients:
    """Computes the gradients of updates. The steps of an update are run by the workers in turn.

    Args:
        model: the model that is trained.
        windows: training windows, with the residuals of the linear part as targets.
        updates: groups of steps.
        scaler: scales the loss under fp16.
        training: the parameter group `training`.
        group: the workers.
    """

    def __init__(
        self,
        model: TimeLLM,
        windows: BatchSource,
        updates: Updates,
        scaler: torch.amp.GradScaler,
        training: TrainingParams,
        group: WorkerGroup,
    ) -> None:
        self.model, self.windows, self.updates = model, windows, updates
        self.scaler, self.training, self.group = scaler, training, group
        self.steps_run = 0  # by this worker, without those that it repeats

    def load_from(self, step: int) -> "DataLoader[Batch]":
        """Batches of the steps that this worker runs, from a step that begins an update."""
        return load_batches(
            BatchMaker(self.windows, self.model.writer),
            self._own_order(step),
            num_workers=self.training.num_workers,
            pin_memory=self.model.compute.device.type == "cuda",
        )

    def order(self, update: Group) -> Iterator[Int[np.ndarray, "batch"]]:
        """Window numbers of the batch of each step of an update."""
        size, seed = self.training.batch_size, self.training.seed
        return batch_order(len(self.windows), size, seed, update.first, update.last)

    def compute(self, update: Group, batches: Iterator[Batch]) -> Iterator[float]:
        """Compute the gradients of an update. Iterator over the losses of its steps, whichever worker ran them.

        Args:
            batches: batches of the own steps (`load_from`).
        """
        steps = range(update.first, update.last)
        if self.group.size == 1:
            for step in steps:
                yield self._backward(next(batches), step, len(steps))
                self.steps_run += 1
            return
        losses: dict[int, float] = {}
        gradients: list[torch.Tensor] = []
        weights = list(self.model.network.trainables().values())
        for step in self._own_steps(update):
            losses[step] = self._backward(next(batches), step, len(steps))
            gradients.append(torch.cat([_taken(weight) for weight in weights]))
            self.steps_run += (step - update.first) % self.group.size == self.group.rank
        self.group.add_in_order(weights, gradients, len(steps))
        for own in self.group.gather(losses):
            losses |= own
        yield from (losses[step] for step in steps)

    def _own_steps(self, update: Group) -> list[int]:
        """Steps of an update that this worker runs: every worker runs equally many.

        In the last round a worker may repeat the step of another. Its gradient is not used, but layers that are shared
        between workers are gathered by all of them.
        """
        steps, size = range(update.first, update.last), self.group.size
        rounds = [steps[first : first + size] for first in range(0, len(steps), size)]
        return [share[self.group.rank % len(share)] for share in rounds]

    def _own_order(self, step: int) -> Iterator[Int[np.ndarray, "batch"]]:
        while step < self.updates.max_steps:
            update = self.updates.after(step)
            order = list(self.order(update))
            yield from (order[own - update.first] for own in self._own_steps(update))
            step = update.last

    def _backward(self, batch: Batch, step: int, num_steps: int) -> float:
        """Add the gradients of one step. Returns its loss."""
        on_device = batch.to(self.model.compute.device)
        seed_step(self.training.seed, step)
        with self.model.compute.autocast():
            correction = self.model.network(on_device.x, on_device.prompts)
        loss = F.mse_loss(correction, on_device.y)
        self.scaler.scale(loss / num_steps).backward()
        return loss.item()


def _taken(weight: torch.nn.Parameter) -> torch.Tensor:
    """The flat gradient of a weight, which has none afterwards."""
    gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
    weight.grad = None
    return gradient.flatten()
