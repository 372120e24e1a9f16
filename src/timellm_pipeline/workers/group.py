"""The worker processes of a job: which of them runs a step, and how their gradients become those of one process.

A step is run by one worker, with dropout masks that depend on seed and step alone. The gradients of the steps of an
update are added in the order of the steps, whichever worker computed them. So any number of workers gives the bytes of
one process; an `all_reduce` would add them in another order.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WorkerGroup:
    """The workers of a job; a process that works alone is a group of one.

    Attributes:
        rank: number of this worker.
        size: number of workers.
        parent: process that started this worker; None in a process that is no worker.
    """

    rank: int = 0
    size: int = 1
    parent: int | None = None

    @classmethod
    def current(cls) -> "WorkerGroup":
        """The group that this process has joined. Process groups of other programs are not used."""
        return _JOINED.get("group") or cls()

    def join(self) -> None:
        """Make this the group of this process, until it ends. `torch.distributed` is initialised."""
        _JOINED["group"] = self

    @property
    def is_orphan(self) -> bool:
        """Whether the process that started this worker has ended: nobody waits for it."""
        return self.parent is not None and os.getppid() != self.parent

    @property
    def is_first(self) -> bool:
        """Whether this worker locks, writes and chooses checkpoints."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """The value of each worker, by rank. All workers must call it."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def from_first(self, value: Any) -> Any:
        """The value of the first worker. All workers must call it."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def add_in_order(
        self, weights: Sequence["torch.nn.Parameter"], gradients: Sequence["torch.Tensor"], num_steps: int
    ) -> None:
        """Set the gradients of weights to the sum of those of all steps of an update, added in the order of the steps.

        Each worker receives one part of the gradient of every step, adds it in order, and the parts are gathered: as
        much traffic as a ring all-reduce if each worker runs one step.

        Args:
            weights: weights whose gradients are set.
            gradients: flat gradients of the own steps, one for each round of `size` steps; that of a worker without a
                step of its own in the last round is not added.
            num_steps: steps of the update.
        """
        import torch
        import torch.distributed as dist

        total = sum(weight.numel() for weight in weights)
        part_size = -(-total // self.size)
        device, dtype = weights[0].device, weights[0].dtype
        added: torch.Tensor | None = None
        for first in range(0, num_steps, self.size):
            sent = torch.zeros(part_size * self.size, device=device, dtype=dtype)
            sent[:total] = gradients[first // self.size]
            received = torch.empty_like(sent)
            dist.all_to_all_single(received, sent)
            for part in received.view(self.size, part_size)[: num_steps - first]:
                added = part.clone() if added is None else added.add_(part)
        assert added is not None
        parts = [torch.empty_like(added) for _ in range(self.size)]
        dist.all_gather(parts, added)
        summed = torch.cat(parts)[:total]
        for weight, gradient in zip(weights, summed.split([weight.numel() for weight in weights]), strict=True):
            weight.grad = gradient.view_as(weight).clone()


_JOINED: dict[str, WorkerGroup] = {}
