"""The base of every parameter group: frozen, and with no room for a misspelt key."""

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """One top-level block of conf/base/parameters.yml."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)
