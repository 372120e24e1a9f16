"""One complete training on prepared data, and its errors with linear part and correction apart."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from quality_scores import LINEAR, Errors, Measured
from timellm_pipeline.evaluation.report import run_test
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model

PARTS = {"timellm": "shipped", "linear_part": "linear part", "correction": "correction"}  # correction: with weight 1


@dataclass(frozen=True)
class Trained:
    """Results of a training.

    Attributes:
        alpha: weight of the correction, as validation chose it.
        reason: how it was chosen.
        errors: test errors of `shipped`, `linear part` and `correction`.
        validation: validation MSE of the same.
        seconds: of training, validation and test.
    """

    alpha: float
    reason: str
    errors: dict[str, Errors]
    validation: dict[str, float]
    seconds: float


def train(measured: Measured, parameters: Parameters) -> Trained:
    """Train the correction of a linear part, choose its weight, save the model, and score the saved model."""
    start, source, data = time.perf_counter(), BackboneSource(), measured.data
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder) / "checkpoints")
        result = train_model(data, parameters, source, store, "benchmark", linear=measured.linear)
        result.model.publish(Path(folder) / "model")
        saved = SavedModel.read(Path(folder) / "model")
        compute = compute_as_trained(saved.config.precision)
        model = TimeLLM.from_saved(saved, source, compute, correction=True)
        table = run_test(saved, model, data, parameters.evaluation).origins
    errors = {shown: table.loc[table["model"] == name, ["mse", "mae"]].to_numpy().T for name, shown in PARTS.items()}
    return Trained(
        alpha=model.alpha,
        reason=saved.config.alpha_reason,
        errors=errors,
        validation={
            "shipped": result.record.validation_mse,
            "linear part": measured.validation[LINEAR],
            "correction": float(result.history["validation_mse"].iloc[-1]),  # after the last step, with weight 1
        },
        seconds=time.perf_counter() - start,
    )
