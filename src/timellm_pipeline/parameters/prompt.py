"""The text that the backbone reads before the patches."""

from typing import Literal

from pydantic import Field

from timellm_pipeline.parameters.group import Group


class PromptParams(Group):
    """`prompt`: the text before the patches."""

    description: str | None = None
    """Description of the series, in a sentence or two; null: a neutral text from channels, frequency and time span."""

    description_for: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """sha256 of the raw file that `description` applies to. Any other file gets the neutral text, with a log message,
    so that no series gets the description of another one. null: the description applies to every file."""

    significant_digits: int | None = Field(default=4, ge=1, le=17)
    """Significant digits of the numbers in the prompt; null: the full float, as in the published code."""

    lags: Literal["acf", "circular"] = "acf"
    """`acf`: the five strongest peaks of the autocorrelation, lags from 1 to half the window;
    `circular`: the published list, which contains lag 0 and the mirror of each lag."""

    layout: Literal["compact", "published"] = "compact"
    """`published`: the sentence of the paper. `compact`: the same words once in the shared part, then values only."""

    statistics: Literal["scaled", "normalised"] = "scaled"
    """`scaled`: statistics of the window in scaled units, trend by least squares. `normalised`: as published, after
    instance normalisation (which removes level and scale), trend as last point minus first."""

    series_facts: Literal["none", "static"] = "none"
    """`static`: the prompt of a window names the static columns of its series (`data.static_columns`)."""
