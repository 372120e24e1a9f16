"""Row ranges of training, validation and test."""

import re
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator, model_validator

from timellm_pipeline.parameters.group import Group


class SplitParams(Group):
    """`split`: row ranges of training, validation and test."""

    method: Literal["ett_hour", "ett_minute", "ratio", "recent", "dates"] = "ratio"
    """`ett_hour` and `ett_minute`: the published 12/4/4 months of 30 days; `ratio`: shares of the rows; `recent`: the
    newest `test_rows` are the test, the `val_rows` before them are validation, and the split moves with the data;
    `dates`: validation starts at `validation_from`, the test at `test_from`. The cuts are at the same time for all
    series."""

    train_ratio: float = Field(default=0.7, gt=0, lt=1)
    """Share of rows for training (`ratio` only); validation gets the remaining rows."""

    test_ratio: float = Field(default=0.2, gt=0, lt=1)
    """Share of rows for the test (`ratio` only)."""

    test_rows: int | str | None = None
    """Rows of the test (`recent` only): a number, or a duration such as `60D`; null: 24 horizons, which are enough to
    compare two models."""

    val_rows: int | str | None = None
    """Rows of validation (`recent` only): a number, or a duration such as `60D`; null: 24 horizons."""

    validation_from: str | None = None
    """First time stamp of validation (`dates` only), such as `2024-01-01`."""

    test_from: str | None = None
    """First time stamp of the test (`dates` only)."""

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

    @field_validator("validation_from", "test_from", mode="before")
    @classmethod
    def _date(cls, value: Any) -> Any:
        if value is None:
            return None
        text = str(value)  # YAML reads 2024-01-01 as a date
        try:
            stamp = pd.Timestamp(text)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{text!r} is not a time stamp; write 2024-01-01 or 2024-01-01 06:00") from error
        if pd.isna(stamp) or not re.match(r"\d{4}-", text):
            raise ValueError(f"{text!r} is not a time stamp; write 2024-01-01 or 2024-01-01 06:00")
        return text

    @model_validator(mode="after")
    def _dates_in_order(self) -> "SplitParams":
        given = (self.validation_from, self.test_from)
        if self.method == "dates" and None in given:
            raise ValueError("method dates needs validation_from and test_from")
        if self.method == "dates":
            first, second = (pd.Timestamp(str(text)).tz_localize(None) for text in given)
            if first >= second:
                raise ValueError(f"validation_from {given[0]} must be before test_from {given[1]}")
        elif given != (None, None):
            raise ValueError(
                f"validation_from and test_from have no effect with method {self.method}; set method dates"
            )
        return self

    @model_validator(mode="after")
    def _leave_rows_for_validation(self) -> "SplitParams":
        if self.train_ratio + self.test_ratio >= 1:
            raise ValueError(
                f"train_ratio {self.train_ratio} and test_ratio {self.test_ratio} leave no rows for validation; "
                "their sum must be below 1"
            )
        return self
