"""Forecasts of a trained model."""

from pydantic import Field, field_validator

from timellm_pipeline.parameters.group import Group

LEVELS = (50, 60, 70, 80, 90, 95, 98, 99)  # percent; the levels that a model stores the widths of


class ForecastParams(Group):
    """`forecast`: origins and prediction intervals of a forecast."""

    origins: int = Field(default=1, ge=1)
    """Number of forecasts: 1 is the future after the last row; more go back from there, `pred_len` rows each."""

    levels: tuple[int, ...] = (80, 95)
    """Levels of the prediction intervals: nominal coverage in percent."""

    batch_size: int = Field(default=64, ge=1)
    """Windows per batch. It affects speed and memory, and results only in their last digits."""

    @field_validator("levels")
    @classmethod
    def _known(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        unknown = sorted(set(levels) - set(LEVELS))
        if unknown:
            raise ValueError(f"{unknown} are not available; choose from {', '.join(map(str, LEVELS))}")
        return tuple(sorted(set(levels)))
