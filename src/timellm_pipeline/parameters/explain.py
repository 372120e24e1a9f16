"""What the `explain` pipeline takes for granted."""

from pydantic import Field

from timellm_pipeline.parameters.group import Group


class ExplainParams(Group):
    """`explain`: the pipeline of that name."""

    seconds_per_step: float = Field(default=1.0, gt=0)
    """Seconds a step, as a log line of a training tells them (`s/it`); an epoch's length is made from it."""
