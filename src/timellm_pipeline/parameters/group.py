"""The base of every parameter group: frozen, and strict about keys and numbers."""

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
        """`true` would pass for 1, `batch_size: yes` for a batch of one window; libraries overflow beyond 32 bits."""
        if isinstance(value, int | float) and LARGEST < abs(value) < float("inf"):
            raise ValueError(f"it is beyond {LARGEST:,}, the largest number that can be given")
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and "bool" not in str(field.annotation):
            raise ValueError(f"{str(value).lower()} is no value for it")
        return value
