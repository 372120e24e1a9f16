"""A checkpoint of the published code becomes a model of ours: evaluated, calibrated, ready to forecast."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from timellm_pipeline.errors import ModelError, ParameterError
from timellm_pipeline.evaluation.forecasting import calibrate, score_model
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import TrainedModel
from timellm_pipeline.model.sizes import count_parameters
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.model.weights import refuse_not_finite
from timellm_pipeline.series.identity import digest_of, digest_of_file
from timellm_pipeline.series.windows import windows_of
from timellm_pipeline.training.preparation import Training

log = logging.getLogger(__name__)

WRAPPERS = ("module", "state_dict", "model")  # keys under which training frameworks put a state dict


def import_published(training: Training, source: BackboneSource, path: Path) -> TrainedModel:
    """The model of a state dict that the published code saved.

    Args:
        training: data and parameters that it was trained with (conf/published has the published switches).
        path: its `checkpoint` file, or the same as safetensors.

    Raises:
        ParameterError: for `model.prototypes` other than `vocabulary`.
        ModelError: for a file that is missing, would have to be unpickled, or whose trainables do not fit, each named.
    """
    parameters, compute = training.parameters, training.compute
    if parameters.model.prototypes != "vocabulary":
        raise ParameterError(
            f"model.prototypes is {parameters.model.prototypes}; published weights are a map over the vocabulary",
            where="model.prototypes",
            do="run with --env published, or set model.prototypes=vocabulary",
        )
    state = read_state(path)
    refuse_not_finite(state, path)
    loaded = source.load(parameters.backbone, compute)
    model = TimeLLM.around(parameters.window, parameters.prompt, parameters.model, loaded, training.description)
    model.load_upstream_state_dict(state)
    model.to(compute.device)
    series, index = training.inputs.scaled_series, training.inputs.window_index
    validation = windows_of(series, index, "validation", parameters.window)
    batch_size = parameters.evaluation.batch_size
    mse = score_model(model, validation, batch_size, compute, "validation").mse
    log.info("imported %s: validation MSE %.4f", path, mse)
    imported = digest_of({"imported": digest_of_file(path)})
    config = training.model_config(
        content_id=imported, counts=count_parameters(model), best_step=0, validation_mse=mse
    ).model_copy(update={"training_id": imported})
    weights = {name: weight.detach().cpu() for name, weight in model.trainables().items()}
    intervals = calibrate(model, validation, batch_size, compute)
    return TrainedModel(config, weights, training.inputs.scaler, intervals)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from a file, without unpickling anything."""
    if not path.is_file():
        raise ModelError("there is no such file", where=str(path), do="give the file: --params checkpoint=PATH")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            content: Any = load(path.read_bytes())
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of the pickle protocol
                content = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # what pickle, zip and torch's own checks raise; torch's message advises to unpickle
        raise ModelError(
            f"this is not a file of plain tensors ({type(error).__name__})",
            where=str(path),
            do="save the state dict alone: torch.save(model.state_dict(), PATH)",
        ) from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(one, torch.Tensor) for name, one in content.items()
    ):
        raise ModelError("this is not a state dict", where=str(path), do="save model.state_dict() alone")
    return dict(content)
