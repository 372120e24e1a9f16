"""Initial weights of a retraining, and the gates of a candidate."""

from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationInfo, field_validator

from timellm_pipeline.parameters.group import Group


class RetrainParams(Group):
    """`retrain`: training of a candidate on the newest data."""

    start: Literal["scratch", "champion"] = "scratch"
    """Initial weights: new ones, or those of the champion (warm start; the shapes must be equal)."""


class GatesParams(Group):
    """`gates`: a candidate becomes the champion if it passes all gates; null (or false) switches a gate off."""

    max_filled: float | None = Field(default=0.01, ge=0, le=1)
    """Data: largest share of rows that were filled in (`data.gaps`), of all rows, of validation and test, and of the
    newest `seq_len + pred_len` rows, in any channel."""

    max_age: str | None = None
    """Data: largest age of the newest row, such as `2D` or `36h`."""

    range_deviations: float | None = Field(default=12.0, gt=0)
    """Data: largest distance of the newest values of a channel outside the range of its training values, in deviations
    of training. The ranges are from the 1 % to the 99 % quantile, so that an outlier does not count."""

    mase: float | None = Field(default=None, gt=0)
    """Floor: largest MASE. It compares the test with the training rows, so that it also refuses a good candidate in a
    time that is hard to forecast."""

    seasonal_naive: bool = True
    """Floor: smaller MSE than seasonal naive."""

    linear: float | None = Field(default=1.02, gt=0)
    """Floor: largest ratio of the MSE to that of a plain ridge regression, which is hard to beat (.367 on ETTh1,
    512 -> 96)."""

    champion: bool = True
    """Champion: compare candidate and champion on the newest windows, in the same scale."""

    prefer: Literal["better", "fresh"] = "better"
    """`better`: the candidate's MSE must be smaller by a statistically significant difference. `fresh`: it may be
    larger by up to `tolerance`."""

    tolerance: float = Field(default=0.02, ge=0)
    """With `prefer: fresh`, how much larger the candidate's MSE may be, as a share of the champion's."""

    slices: float | None = Field(default=1.25, gt=0)
    """Champion: largest ratio of the MSEs in any channel or quarter of the horizon."""

    stability: float | None = Field(default=1.0, gt=0)
    """Champion: largest mean absolute difference between both forecasts of the same rows, in channel deviations."""

    load: bool = True
    """The saved model must give the same forecasts when it is loaded in a separate process."""

    @field_validator("*", mode="before")
    @classmethod
    def _false_or_null_is_off(cls, value: Any, info: ValidationInfo) -> Any:
        """Both switch off any gate: `false` is null where the value is a number or a text, and the reverse."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if value is None and annotation is bool:
            return False
        return None if value is False and "None" in str(annotation) else value

    @field_validator("max_age")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                duration = pd.Timedelta(value)
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{value!r} is not a duration; write 2D or 36h") from error
            if value.strip().isdigit():  # pandas would read it as nanoseconds
                raise ValueError(f"{value!r} has no unit; write 2D or 36h")
            if pd.isna(duration) or duration <= pd.Timedelta(0):
                raise ValueError(f"{value!r} is not a positive duration; write 2D or 36h")
        return value
