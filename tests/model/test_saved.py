"""A model folder is whole or recognisably torn, and loads as the model that was saved."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_inputs, random_windows, small_parameters
from timellm_pipeline.errors import ModelError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import resolve_compute
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model


@pytest.fixture(scope="module")
def trained(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> TrainedModel:
    root = tmp_path_factory.mktemp("trained")
    parameters = small_parameters(backbones["gpt2"], training={"max_steps": 6})
    inputs = make_inputs(raw_series, parameters)
    return train_model(inputs, parameters, BackboneSource(root / "c"), CheckpointStore(root / "s"), "v").model


def test_a_saved_model_forecasts_as_it_did(trained: TrainedModel, tmp_path: Path) -> None:
    """A weight or a setting that is not saved shows only in the forecasts."""
    trained.write(tmp_path / "one")
    compute = resolve_compute("no")
    model = SavedModel.read(tmp_path / "one").load(BackboneSource(tmp_path / "c"), compute)
    again = SavedModel.read(tmp_path / "one").load(BackboneSource(tmp_path / "c"), compute)
    windows = torch.from_numpy(random_windows(4, 48))
    with torch.no_grad():
        assert torch.equal(model(windows), again(windows))
    for name, weight in model.trainables().items():
        assert torch.equal(weight, trained.weights[name]), name
    assert not model.training and np.isfinite(SavedModel.read(tmp_path / "one").config.validation_mse)


@pytest.mark.parametrize("name", ["model.safetensors", "scaler.json", "config.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_a_torn_or_changed_folder_is_refused(trained: TrainedModel, tmp_path: Path, name: str, damage: str) -> None:
    """Half a model forecasts too."""
    trained.write(tmp_path / "one")
    path = tmp_path / "one" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content.replace(b"0", b"1"))
    with pytest.raises(ModelError):
        SavedModel.read(tmp_path / "one")


def test_another_backbone_than_in_training_is_refused(
    trained: TrainedModel, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """The trained weights speak to one backbone alone."""
    config = trained.config.model_copy(update={"backbone_identity": {"files": {}, "layers": None}})
    TrainedModel(config, trained.weights, trained.scaler).write(tmp_path / "one")
    with pytest.raises(ModelError, match="not the one this model was trained with"):
        SavedModel.read(tmp_path / "one").load(BackboneSource(tmp_path / "c"), resolve_compute("no"))


def test_a_backbone_folder_that_moved_is_found_where_it_is_said_to_be(
    trained: TrainedModel, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """A model must not be lost because a folder got another name; its files are what counts."""
    gone = trained.config.backbone.model_copy(update={"name": str(tmp_path / "gone")})
    TrainedModel(trained.config.model_copy(update={"backbone": gone}), trained.weights, trained.scaler).write(
        tmp_path / "one"
    )
    saved, source, compute = SavedModel.read(tmp_path / "one"), BackboneSource(tmp_path / "c"), resolve_compute("no")
    with pytest.raises(ModelError, match="there is no folder") as caught:
        saved.load(source, compute)
    assert "--params backbone.name=PATH" in caught.value.do
    with pytest.raises(ModelError, match="there is no folder"):
        saved.load(source, compute, gone.model_copy(update={"name": str(backbones["llama"])}))
    moved = saved.load(source, compute, gone.model_copy(update={"name": str(backbones["gpt2"])}))
    assert moved.backbone.config.model_type == "gpt2"
