"""What a linear map may be: the candidates of the linear part, as plain values."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Center = Literal["mean", "naive", "seasonal_naive"]


class Candidate(BaseModel):
    """A way to obtain a linear map.

    Attributes:
        kind: `rule` (the center itself), `plain` (ridge), `structured` (ridge with structured penalties), or
            `per_series` (structured, with a deviation for each series).
        center: the map that a penalty shrinks to: the mean of the window, naive, or seasonal naive.
        seasons: season lengths in rows of the structured penalties.
        penalty: multiple of the mean square of the inputs.
        deviation_penalty: the same for the deviations of the series.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["rule", "plain", "structured", "per_series"]
    center: Center = "mean"
    seasons: tuple[int, ...] = ()
    penalty: float = 0.0
    deviation_penalty: float = 0.0
