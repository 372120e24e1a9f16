"""A model folder is complete or recognisably damaged, and loads as the model that was saved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from conftest import make_inputs, random_windows, small_parameters
from timellm_pipeline.errors import ModelError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import resolve_compute
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.series.identity import digest_of_file, sealed, unsealed
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
def test_an_incomplete_or_changed_folder_is_refused(
    trained: TrainedModel, tmp_path: Path, name: str, damage: str
) -> None:
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


@pytest.mark.parametrize("change", [("seq_len", 50), ("d_ff", 10**7)])
def test_a_config_that_was_edited_is_refused(trained: TrainedModel, tmp_path: Path, change: tuple[str, int]) -> None:
    """A model of another window length forecasts other numbers, and nothing else would tell."""
    folder = tmp_path / "model"
    trained.write(folder)
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    content["window" if change[0] == "seq_len" else "model"][change[0]] = change[1]
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="not what was written"):
        SavedModel.read(folder)


def test_sizes_are_compared_with_the_files_header_before_anything_is_built(
    trained: TrainedModel, tmp_path: Path
) -> None:
    """A stranger's config with a huge d_ff took 20 GB before its shapes were compared."""
    folder = tmp_path / "model"
    trained.write(folder)
    content = unsealed(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    content["model"]["d_ff"] = 60_000
    (folder / "config.json").write_text(json.dumps(sealed(content)), encoding="utf-8")
    with pytest.raises(ModelError, match="do not fit this model"):
        SavedModel.read(folder).load(BackboneSource(tmp_path / "cache"), resolve_compute("no"))


def reseal(folder: Path, **files: bytes) -> None:
    """Replace files of a model folder, with digests that fit: what a stranger may hand over."""
    content = unsealed(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    for name, data in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(data)
        content["sha256"][path.name] = digest_of_file(path)
    (folder / "config.json").write_text(json.dumps(sealed(content)), encoding="utf-8")


def test_weights_and_intervals_of_a_stranger_are_checked(trained: TrainedModel, tmp_path: Path) -> None:
    """Digests that fit only say that a file is what its writer wrote."""
    weights = {name: torch.full_like(weight, float("nan")) for name, weight in trained.weights.items()}
    cases = {
        "not finite numbers": {"model_safetensors": safetensors.torch.save(weights)},
        "weights cannot be read": {"model_safetensors": b"\xff" * 64},
        "intervals are of shape": {"intervals_safetensors": safetensors.torch.save({"half_widths": torch.zeros(1, 1)})},
        "intervals cannot be read": {"intervals_safetensors": b"nothing"},
    }
    for number, (message, files) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        trained.write(folder)
        reseal(folder, **files)
        read = SavedModel.read(folder)
        with pytest.raises(ModelError, match=message):
            read.intervals() if "intervals" in message else read.load(
                BackboneSource(tmp_path / "cache"), resolve_compute("no")
            )


@pytest.mark.parametrize("change", [{"std": [0.0] * 7}, {"mean": [1.0]}, {"channels": ["x"] * 7}, {"std": "text"}])
def test_a_scaler_that_does_not_fit_is_refused(trained: TrainedModel, tmp_path: Path, change: dict[str, Any]) -> None:
    """Of another length, it would shift every channel."""
    folder = tmp_path / "model"
    trained.write(folder)
    scaler = {**json.loads((folder / "scaler.json").read_text(encoding="utf-8")), **change}
    reseal(folder, scaler_json=json.dumps(scaler).encode())
    with pytest.raises(ModelError, match="scaler.json"):
        SavedModel.read(folder)


def test_a_model_with_a_weight_that_is_not_finite_is_not_saved(trained: TrainedModel, tmp_path: Path) -> None:
    """Its forecasts would all be blank."""
    weights = {**trained.weights, "head.bias": torch.full((12,), float("inf"))}
    with pytest.raises(ModelError, match=r"head\.bias"):
        TrainedModel(trained.config, weights, trained.scaler).publish(tmp_path / "new")
    assert not list(tmp_path.iterdir())
