"""Row ranges of training, validation and test."""

from typing import Literal

import pandas as pd
from pydantic import Field, field_validator, model_validator

from timellm_pipeline.parameters.group import Group


class SplitParams(Group):
    """`split`: row ranges of training, validation and test."""

    method: Literal["ett_hour", "ett_minute", "ratio", "recent"] = "ratio"
    """`ett_hour` and `ett_minute`: the published 12/4/4 months of 30 days; `ratio`: shares of the rows; `recent`: the
    newest `test_rows` are the test, the `val_rows` before them are validation, and the split moves with the data."""

    train_ratio: float = Field(default=0.7, gt=0, lt=1)
    """Share of rows for training (`ratio` only); validation gets the remaining rows."""

    test_ratio: float = Field(default=0.2, gt=0, lt=1)
    """Share of rows for the test (`ratio` only)."""

    test_rows: int | str | None = None
    """Rows of the test (`recent` only): a number, or a duration such as `60D`; null: 24 horizons, which are enough to
    compare two models."""

    val_rows: int | str | None = None
    """Rows of validation (`recent` only): a number, or a duration such as `60D`; null: 24 horizons."""

    train_percent: int = Field(default=100, ge=1, le=100)
    """Few-shot: percentage of the training rows after the first window, as published; the scaler uses no other rows."""

    @field_validator("test_rows", "val_rows")
    @classmethod
    def _rows_or_duration(cls, value: int | str | None) -> int | str | None:
        if value is None:
            return None
        if isinstance(value, str):
            try:
                positive = pd.Timedelta(value) > pd.Timedelta(0)
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{value!r} is not a duration; write a number of rows, or 60D or 36h") from error
        else:
            positive = value > 0
        if not positive:
            raise ValueError(f"{value!r} leaves no rows")
        return value

    @model_validator(mode="after")
    def _leave_rows_for_validation(self) -> "SplitParams":
        if self.train_ratio + self.test_ratio >= 1:
            raise ValueError(
                f"train_ratio {self.train_ratio} and test_ratio {self.test_ratio} leave no rows for validation; "
                "their sum must be below 1"
            )
        return self
