"""The weight of the correction, chosen on validation: forecast = linear + alpha * correction.

alpha is the least-squares weight on the validation windows, within 0 and 1, so that validation with it is never worse
than without it. That alone proves nothing: any correction improves the windows that its weight was fitted on. So the
errors of each group of origins are also computed with the weight that the other groups give, without the origins within
one horizon of the group. The correction is used only if the paired test calls these errors better than those of the
linear part. Otherwise alpha is 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.alpha import Alpha
from timellm_pipeline.evaluation.significance import compare_origins
from timellm_pipeline.model.intervals import MOST_WINDOWS
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.windows import Windows

MOST_GROUPS = 10


@dataclass(frozen=True)
class PartErrors:
    """Errors of linear part and correction on the validation windows, in scaled units.

    Attributes:
        validation: the windows.
        products: for each window the sums over the horizon of residual², correction * residual and correction².
        sample: numbers of at most 20,000 windows.
        residuals: true values minus linear forecasts of the sample.
        corrections: corrections of the sample.
    """

    validation: Windows
    products: Float[np.ndarray, "windows 3"]
    sample: Int[np.ndarray, "sample"]
    residuals: Float[np.ndarray, "sample pred_len"]
    corrections: Float[np.ndarray, "sample pred_len"]

    def mse(self, alpha: float) -> float:
        """Mean squared error of the forecasts with a weight; not finite if an output of the network is not."""
        with np.errstate(invalid="ignore"):
            total = self.products.sum(axis=0) @ _powers(alpha)
        return float(total) / (len(self.products) * self.validation.pred_len)

    def refuse_not_finite(self) -> None:
        """Raise ModelError if an output of the network is not finite."""
        wrong = np.flatnonzero(~np.isfinite(self.products).all(axis=1))
        if len(wrong):
            raise ModelError(
                f"the network's output for validation window {wrong[0]:,} is not a finite number",
                where="validation",
                do="lower training.learning_rate, set training.precision=no, or use another checkpoint",
            )


def part_errors(
    model: TimeLLM, validation: Windows, batch_size: int, between: Callable[[], None] = lambda: None
) -> PartErrors:
    """Errors of linear part and correction of a model on every validation window.

    Args:
        between: called after each batch; may raise an exception to stop.
    """
    step = -(-len(validation) // MOST_WINDOWS)
    sample = np.arange(0, len(validation), step)
    products = np.empty((len(validation), 3))
    residuals = np.empty((len(sample), validation.pred_len), dtype=np.float32)
    corrections = np.zeros_like(residuals)
    for batch in model.forecast_parts(validation, batch_size, label="validation"):
        residual = batch.truth - batch.linear
        correction = np.zeros_like(residual) if batch.correction is None else batch.correction.astype(np.float64)
        pairs = ((residual, residual), (residual, correction), (correction, correction))
        products[batch.which] = np.stack([(one * other).sum(axis=1) for one, other in pairs], axis=1)
        kept = batch.which % step == 0
        residuals[batch.which[kept] // step] = residual[kept]
        corrections[batch.which[kept] // step] = correction[kept]
        between()
    return PartErrors(validation, products, sample, residuals, corrections)


@dataclass(frozen=True)
class Choice:
    """The weight of a correction and what it was chosen by.

    Attributes:
        alpha: the weight.
        errors: errors of the shipped forecasts of the sample, with the weight of the other groups if the correction is
            used.
        linear: MSE of the linear part at each origin.
        corrected: MSE of each origin with the weight of the other groups.
        whole: MSE of each origin with the weight 1.
    """

    alpha: Alpha
    errors: Float[np.ndarray, "sample pred_len"]
    linear: Float[np.ndarray, "origins"]
    corrected: Float[np.ndarray, "origins"]
    whole: Float[np.ndarray, "origins"]


def choose_alpha(errors: PartErrors) -> Choice:
    """The weight of a correction by its errors on validation, and errors that did not choose it."""
    windows, block = errors.validation, errors.validation.origins_per_horizon
    origins, number = np.unique(windows.origin(np.arange(len(windows))), return_inverse=True)
    sums = np.zeros((len(origins), 3))
    np.add.at(sums, number, errors.products)
    points = np.bincount(number) * windows.pred_len
    group, weights = _weights_of_groups(sums, block)
    linear = sums[:, 0] / points
    corrected = (sums * _powers(weights[group])).sum(axis=1) / points
    comparison = compare_origins(corrected, linear, block)
    fitted = _least_squares(sums)
    chosen = Alpha(alpha=fitted if comparison.better else 0.0, fitted=fitted, comparison=comparison)
    used = weights[group][number[errors.sample], None] if chosen.alpha else 0.0
    return Choice(chosen, errors.residuals - used * errors.corrections, linear, corrected, sums @ _powers(1.0) / points)


def _weights_of_groups(
    sums: Float[np.ndarray, "origins 3"], block: int
) -> tuple[Int[np.ndarray, "origins"], Float[np.ndarray, "groups"]]:
    """Group of each origin, and for each group the weight that the origins outside it and its gaps give."""
    count = len(sums)
    num_groups = int(np.clip(count // (2 * block), 1, MOST_GROUPS))
    group = np.arange(count) * num_groups // count
    weights = np.zeros(num_groups)
    for number in range(num_groups):
        inside = np.flatnonzero(group == number)
        others = (np.arange(count) < inside[0] - block) | (np.arange(count) > inside[-1] + block)
        weights[number] = _least_squares(sums[others])
    return group, weights


def _least_squares(sums: Float[np.ndarray, "origins 3"]) -> float:
    _, product, square = sums.sum(axis=0)
    return float(np.clip(product / square, 0, 1)) if square > 0 else 0.0


def _powers(alpha: float | Float[np.ndarray, "origins"]) -> np.ndarray:
    """Factors of residual², correction * residual and correction² in the squared error."""
    weight = np.asarray(alpha, dtype=np.float64)
    return np.stack([np.ones_like(weight), -2 * weight, weight**2], axis=-1)
