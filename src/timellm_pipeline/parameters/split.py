"""Which rows train, which validate, which test."""

from typing import Literal

from pydantic import Field, model_validator

from timellm_pipeline.parameters.group import Group


class SplitParams(Group):
    """`split`: row ranges of training, validation and test."""

    method: Literal["ett_hour", "ett_minute", "ratio"] = "ratio"
    """`ett_hour` and `ett_minute`: the published 12/4/4 months of 30 days; `ratio`: shares of the rows."""

    train_ratio: float = Field(default=0.7, gt=0, lt=1)
    """Share of rows for training (`ratio` only); what training and test leave is validation."""

    test_ratio: float = Field(default=0.2, gt=0, lt=1)
    """Share of rows for the test (`ratio` only)."""

    train_percent: int = Field(default=100, ge=1, le=100)
    """Few-shot: so many per cent of the training rows after the first window, as published; the scaler sees no more."""

    @model_validator(mode="after")
    def _leave_rows_for_validation(self) -> "SplitParams":
        if self.train_ratio + self.test_ratio >= 1:
            raise ValueError(
                f"train_ratio {self.train_ratio} and test_ratio {self.test_ratio} leave no rows for validation; "
                "their sum must be below 1"
            )
        return self
