"""What a trained model is asked for."""

from pydantic import Field, field_validator

from timellm_pipeline.parameters.group import Group

LEVELS = (50, 60, 70, 80, 90, 95, 98, 99)  # percent; what a model keeps the widths of


class ForecastParams(Group):
    """`forecast`: the pipeline of that name."""

    origins: int = Field(default=1, ge=1)
    """Forecasts to make: 1 is what comes after the last row; more go back from there, `pred_len` rows each."""

    levels: tuple[int, ...] = (80, 95)
    """Prediction intervals, in percent of the values that shall lie inside."""

    batch_size: int = Field(default=64, ge=1)
    """Windows in a batch: speed and memory, and results in their last digits alone."""

    @field_validator("levels")
    @classmethod
    def _known(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        unknown = sorted(set(levels) - set(LEVELS))
        if unknown:
            raise ValueError(f"{unknown} cannot be had; a model keeps {', '.join(map(str, LEVELS))}")
        return tuple(sorted(set(levels)))
