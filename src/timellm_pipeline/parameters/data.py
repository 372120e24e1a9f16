"""How the raw file is read."""

from typing import Literal

from timellm_pipeline.parameters.group import Group


class DataParams(Group):
    """`data`: the raw file's form."""

    date_column: str = "date"
    """Name of the column with the time stamps."""

    gaps: Literal["error"] = "error"
    """What to do about missing time stamps: `error` names the first one and stops."""
