"""Assumptions of the `explain` pipeline."""

from pydantic import Field

from timellm_pipeline.parameters.group import Group


class ExplainParams(Group):
    """`explain`: the plan of a training."""

    seconds_per_step: float = Field(default=1.0, gt=0)
    """Seconds per step, as in a log line of a training (`s/it`), to estimate the duration of an epoch."""
