"""What the backbone is told before the patches."""

from typing import Literal

from pydantic import Field

from timellm_pipeline.parameters.group import Group


class PromptParams(Group):
    """`prompt`: the text before the patches."""

    description: str | None = None
    """What the series is, in a sentence or two; null builds a neutral text from channels, frequency and span."""

    description_for: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """sha256 of the raw file that `description` speaks of. Any other file gets the neutral text, and the log
    says so: no series is ever described in another one's words. null: the description is for whatever is read."""

    significant_digits: int | None = Field(default=4, ge=1, le=17)
    """Digits of the numbers in the prompt; null writes the full float as the published code does."""

    lags: Literal["acf", "circular"] = "acf"
    """`acf`: the five strongest peaks of the autocorrelation, lags from 1 to half the window;
    `circular`: the published list, where lag 0 is always first and each other lag comes with its mirror."""

    layout: Literal["compact", "published"] = "compact"
    """`published`: the paper's sentence. `compact`: the same words once in the shared part, then values only."""

    statistics: Literal["scaled", "normalised"] = "scaled"
    """`scaled`: of the window in scaled units, trend by least squares. `normalised`: as in the published code,
    after instance normalisation (so level and scale are gone), trend by last point minus first."""
