"""What a retraining starts from, and what it has to pass."""

from typing import Literal

import pandas as pd
from pydantic import Field, field_validator

from timellm_pipeline.parameters.group import Group


class RetrainParams(Group):
    """`retrain`: the pipeline of that name."""

    start: Literal["scratch", "champion"] = "scratch"
    """Where weights start: new ones, or the champion's (a warm start; its parameters must have the same shapes)."""


class GatesParams(Group):
    """`gates`: a candidate becomes champion when it passes all of them; null switches a gate off."""

    max_filled: float | None = Field(default=0.01, ge=0, le=1)
    """Data: largest share of rows that were filled in (`data.gaps`)."""

    max_age: str | None = None
    """Data: the newest row must not be older than this, such as `2D` or `36h`."""

    range_deviations: float | None = Field(default=12.0, gt=0)
    """Data: no test value further from the champion's training mean than this number of its standard deviations."""

    mase: float | None = Field(default=1.0, gt=0)
    """Floor: largest MASE."""

    seasonal_naive: bool = True
    """Floor: smaller MSE than seasonal naive."""

    linear: bool = False
    """Floor: smaller MSE than the closed-form linear model. A hard one: on ETTh1 512 -> 96 it has .367."""

    champion: bool = True
    """Champion: both are scored on the newest windows, in one scale."""

    prefer: Literal["better", "fresh"] = "better"
    """`better`: the candidate's MSE must be smaller by a statistically significant difference. `fresh`: it may be
    larger by up to `tolerance`."""

    tolerance: float = Field(default=0.02, ge=0)
    """With `prefer: fresh`, how much larger the candidate's MSE may be, as a share of the champion's."""

    slices: float | None = Field(default=1.25, gt=0)
    """No channel and no quarter of the horizon may have an MSE more than this many times the champion's."""

    stability: float | None = Field(default=1.0, gt=0)
    """Largest mean absolute difference between both forecasts of the same hours, in deviations of a channel."""

    load: bool = True
    """The saved model, loaded in a process of its own, must give the same forecasts."""

    @field_validator("max_age")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                duration = pd.Timedelta(value)
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{value!r} is not a duration; write 2D or 36h") from error
            if value.strip().isdigit():  # pandas would count nanoseconds
                raise ValueError(f"{value!r} has no unit; write 2D or 36h")
            if pd.isna(duration) or duration <= pd.Timedelta(0):
                raise ValueError(f"{value!r} is not a positive duration; write 2D or 36h")
        return value
