"""The weight of a correction, with the test that chose it, as plain values (evaluation/correction.py chooses it)."""

from pydantic import BaseModel, ConfigDict

from timellm_pipeline.evaluation.significance import Comparison


class Alpha(BaseModel):
    """The chosen weight.

    Attributes:
        alpha: weight of the correction, from 0 to 1.
        fitted: least-squares weight on all validation windows; `alpha` if the correction is accepted.
        comparison: test of the errors with weights from other groups against those of the linear part; None if Time-LLM
            forecasts alone.
    """

    model_config = ConfigDict(frozen=True)

    alpha: float
    fitted: float
    comparison: Comparison | None = None

    @property
    def reason(self) -> str:
        """How the weight was chosen, in a sentence."""
        if self.comparison is None:
            return "Time-LLM forecasts alone"
        tested = f"validation MSE with the correction minus without it: {self.comparison.summary()}"
        if self.comparison.better:
            return f"the correction is used with weight {self.alpha:.3f}; {tested}"
        return f"the correction is not used; {tested}"
