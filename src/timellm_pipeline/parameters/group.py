"""The base class of all parameter groups: frozen, no unknown keys, no numbers beyond 32 bits."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

LARGEST = 2**31 - 1


class Group(BaseModel):
    """One top-level block of conf/base/parameters.yml."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _fits_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse booleans for numbers and numbers beyond 32 bits.

        pydantic would read `true` as 1, so `batch_size: yes` as one window per batch; libraries overflow above 32 bits.
        """
        if isinstance(value, int | float) and LARGEST < abs(value) < float("inf"):
            raise ValueError(f"its absolute value is larger than {LARGEST:,}, the largest number that is accepted")
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and "bool" not in str(field.annotation):
            raise ValueError(f"{str(value).lower()} is not a valid value")
        return value
