"""Worker processes of training, evaluation and forecasts."""

from typing import Annotated, Literal

from pydantic import Field

from timellm_pipeline.errors import ParameterError
from timellm_pipeline.parameters.group import Group
from timellm_pipeline.parameters.training import TrainingParams


class WorkersParams(Group):
    """`workers`: processes that share the work. They change its speed and memory, never its result."""

    processes: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(default=1)
    """Number of worker processes, for training at most `training.accumulate`; `auto`: the GPUs of this machine."""

    shard: Literal["none", "layers"] = Field(default="none")
    """`layers`: the frozen layers of the backbone are shared between the workers, so that each needs only a part of
    their memory. For a backbone that does not fit on one GPU; otherwise it is slower."""

    restarts: int = Field(default=3, ge=0)
    """How often the workers are started again, from the newest checkpoint, after one of them has ended."""

    timeout: int = Field(default=1800, ge=30)
    """Seconds that a worker waits for the others before it ends."""


def refuse_idle_workers(count: int, training: TrainingParams) -> None:
    """Raise ParameterError if a training has more workers than steps in an update, with a setting that has enough."""
    if count <= training.accumulate:
        return
    windows = training.batch_size * training.accumulate
    equal = f"training.batch_size={windows // count},training.accumulate={count} has updates of as many windows"
    raise ParameterError(
        f"{count} workers are more than training.accumulate {training.accumulate}: they share the steps of an update",
        where="workers.processes",
        do=f"use fewer workers, or raise training.accumulate{f': {equal}' if windows % count == 0 else ''}",
    )
