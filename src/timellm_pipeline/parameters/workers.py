"""Worker processes of a training."""

from typing import Literal

from pydantic import Field

from timellm_pipeline.parameters.group import Group


class WorkersParams(Group):
    """`workers`: processes that share a training. They change its speed, never its result."""

    processes: int | Literal["auto"] = Field(default=1)
    """Number of worker processes, at most `training.accumulate`; `auto`: the GPUs of this machine, as many as can share
    an update."""

    restarts: int = Field(default=3, ge=0)
    """How often the workers are started again, from the newest checkpoint, after one of them has ended."""

    timeout: int = Field(default=1800, ge=30)
    """Seconds that a worker waits for the others before it ends."""
