"""Group steps into updates when the gradients of several steps are accumulated."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """The steps of one update: first <= step < last."""

    first: int
    last: int

    def reaches(self, every: int) -> bool:
        """Whether this update completes a multiple of `every` steps."""
        return self.last // every > self.first // every


@dataclass(frozen=True)
class Updates:
    """Groups of steps. The last group of an epoch or a run may be short and is still an update."""

    steps_per_epoch: int
    accumulate: int
    max_steps: int

    def after(self, step: int) -> Group:
        """The group that starts after `step` steps."""
        position = step % self.steps_per_epoch
        return Group(step, step + min(self.accumulate, self.steps_per_epoch - position, self.max_steps - step))

    def ending_at(self, step: int) -> Group:
        """The group whose update ended after `step` steps."""
        position = (step - 1) % self.steps_per_epoch
        return Group(step - 1 - position % self.accumulate, step)

    def made_after(self, step: int) -> int:
        """Number of updates after `step` steps."""
        epochs, position = divmod(step, self.steps_per_epoch)
        return epochs * -(-self.steps_per_epoch // self.accumulate) + -(-position // self.accumulate)
