"""How the raw file is read."""

import inspect
from typing import Any, Literal

from pydantic import Field, field_validator

from timellm_pipeline.parameters.group import Group

OURS = {"filepath_or_buffer", "index_col", "skip_blank_lines", "low_memory", "chunksize", "iterator", "nrows"}


class DataParams(Group):
    """`data`: the raw file's form."""

    date_column: str = "date"
    """Name of the column with the time stamps."""

    gaps: Literal["error", "interpolate", "drop_windows"] = "error"
    """What to do about missing time stamps and empty cells: `error` names the first one and stops; `interpolate`
    fills them in along time; `drop_windows` leaves out every window that touches one."""

    csv: dict[str, Any] = Field(default_factory=dict)
    """Options of pandas.read_csv, such as `{sep: ";", decimal: ",", thousands: ".", encoding: gb18030}`. What is not
    said is told from the file."""

    @field_validator("csv")
    @classmethod
    def _known(cls, options: dict[str, Any]) -> dict[str, Any]:
        import pandas as pd

        known = set(inspect.signature(pd.read_csv).parameters) - OURS
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(f"{unknown} are no options of pandas.read_csv that can be set here")
        return options
