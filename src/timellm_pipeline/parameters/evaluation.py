"""Validation and test."""

from pydantic import Field

from timellm_pipeline.parameters.group import Group


class EvaluationParams(Group):
    """`evaluation`: windows and batches of validation and test."""

    batch_size: int = Field(default=64, ge=1)
    """Windows per batch in validation and test. It affects speed and memory, and results only in their last digits."""

    validation_step: int | None = Field(default=1, ge=1)
    """Rows between the starts of neighbouring validation windows of a channel; null: derived from their number."""

    test_step: int | None = Field(default=1, ge=1)
    """Rows between the starts of neighbouring test windows of a channel; null: derived from their number."""

    alpha: float | None = Field(default=None, ge=0, le=1)
    """Weight of the correction in the `evaluate` pipeline; null: the weight that validation chose."""

    season: int | None = Field(default=None, ge=1)
    """Season length in rows for the seasonal-naive baseline; null: from the frequency (hourly: 24)."""
