"""Import a checkpoint of the published code as a model: validated, calibrated, ready to forecast."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from timellm_pipeline.errors import ModelError, ParameterError
from timellm_pipeline.model.saved import TrainedModel
from timellm_pipeline.model.weights import refuse_not_finite
from timellm_pipeline.series.identity import digest_of, digest_of_file
from timellm_pipeline.training.fit import choose_and_calibrate, new_model
from timellm_pipeline.training.preparation import Training

log = logging.getLogger(__name__)

WRAPPERS = ("module", "state_dict", "model")  # keys under which training frameworks put a state dict


def import_published(training: Training, path: Path) -> TrainedModel:
    """The model of a state dict that the published code saved.

    Args:
        training: data and parameters that it was trained with (conf/published has the published switches).
        path: its `checkpoint` file, or the same state dict as safetensors.

    Raises:
        ParameterError: for `model.prototypes` other than `vocabulary`, and with a linear part.
        ModelError: for a file that is missing, requires unpickling, or has weights that do not match (each is named).
    """
    parameters = training.parameters
    if parameters.model.prototypes != "vocabulary":
        raise ParameterError(
            f"model.prototypes is {parameters.model.prototypes}; published weights are a map over the vocabulary",
            where="model.prototypes",
            do="run with --env published, or set model.prototypes=vocabulary",
        )
    if training.linear.is_fitted:
        raise ParameterError(
            f"model.linear is {parameters.model.linear}; published weights forecast alone, they correct nothing",
            where="model.linear",
            do="run with --env published, or set model.linear=none",
        )
    state = read_state(path)
    refuse_not_finite(state, path)
    loaded = training.source.load(parameters.backbone, training.compute)
    model = new_model(training, loaded)
    model.load_upstream_state_dict(state)
    alpha, mse, intervals = choose_and_calibrate(model, training)
    log.info("imported %s: validation MSE %.4f", path, mse)
    imported = digest_of({"imported": digest_of_file(path)})
    config = training.model_config(
        content_id=imported, counts=model.network.count_parameters(), best_step=0, validation_mse=mse, alpha=alpha
    ).model_copy(update={"training_id": imported})
    weights = {name: weight.detach().cpu() for name, weight in model.network.trainables().items()}
    return TrainedModel(config, weights, training.data.scaler, training.linear, intervals)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file. Nothing is unpickled. Raises ModelError for a file with any other content."""
    if not path.is_file():
        raise ModelError("there is no such file", where=str(path), do="set the file: --params checkpoint=PATH")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            content: Any = load(path.read_bytes())
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # about the pickle protocol
                content = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # errors of pickle, zip and torch; torch's message advises unpickling
        raise ModelError(
            f"this is not a file of plain tensors ({type(error).__name__})",
            where=str(path),
            do="save only the state dict: torch.save(model.state_dict(), PATH)",
        ) from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise ModelError("this is not a state dict", where=str(path), do="save only model.state_dict()")
    return dict(content)
