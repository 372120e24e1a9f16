"""A model folder is complete or detectably damaged, and loads as the model that was saved."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from hub_cache import fill_hub_cache

from conftest import make_inputs, random_windows, small_parameters
from timellm_pipeline.errors import BackboneError, ModelError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import resolve_compute
from timellm_pipeline.model.saved import SavedModel, TrainedModel, TrainedOn
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import BackboneParams
from timellm_pipeline.series.identity import digest_of_file, sealed, unsealed
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model


@pytest.fixture(scope="module")
def trained(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> TrainedModel:
    root = tmp_path_factory.mktemp("trained")
    parameters = small_parameters(backbones["gpt2"], training={"max_steps": 6}, model={"linear": "none"})
    inputs = make_inputs(raw_series, parameters)
    return train_model(inputs, parameters, BackboneSource(root / "c"), CheckpointStore(root / "s"), "v").model


def test_a_saved_model_forecasts_as_it_did(trained: TrainedModel, tmp_path: Path) -> None:
    """A weight or a setting that is not saved shows only in the forecasts."""
    trained.write(tmp_path / "one")
    compute = resolve_compute("no")
    model = TimeLLM.from_saved(SavedModel.read(tmp_path / "one"), BackboneSource(tmp_path / "c"), compute)
    again = TimeLLM.from_saved(SavedModel.read(tmp_path / "one"), BackboneSource(tmp_path / "c"), compute)
    windows = torch.from_numpy(random_windows(4, 48))
    with torch.no_grad():
        assert torch.equal(model(windows), again(windows))
    for name, weight in model.network.trainables().items():
        assert torch.equal(weight, trained.weights[name]), name
    assert not model.network.training and np.isfinite(SavedModel.read(tmp_path / "one").config.validation_mse)


@pytest.mark.parametrize("name", ["model.safetensors", "scaler.json", "config.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_an_incomplete_or_changed_folder_is_refused(
    trained: TrainedModel, tmp_path: Path, name: str, damage: str
) -> None:
    """An incomplete model forecasts too."""
    trained.write(tmp_path / "one")
    path = tmp_path / "one" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content.replace(b"0", b"1"))
    with pytest.raises(ModelError):
        SavedModel.read(tmp_path / "one")


@pytest.mark.parametrize("files", [None, {}, {"model.safetensors": "0" * 64}], ids=["unknown", "none", "others"])
def test_another_backbone_than_in_training_is_refused(
    trained: TrainedModel, tmp_path: Path, files: dict[str, str] | None
) -> None:
    """The trained weights fit one backbone alone."""
    other = {"backbone_identity": {"files": {}, "layers": None}, "backbone_files": files}
    replace(trained, config=trained.config.model_copy(update=other)).write(tmp_path / "one")
    with pytest.raises(ModelError, match="not the one this model was trained with"):
        TimeLLM.from_saved(SavedModel.read(tmp_path / "one"), BackboneSource(tmp_path / "c"), resolve_compute("no"))


def test_a_backbone_folder_that_moved_is_found_at_the_given_path(
    trained: TrainedModel, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """A model must not be lost because a folder got another name; its files decide."""
    gone = trained.config.backbone.model_copy(update={"name": str(tmp_path / "gone")})
    replace(trained, config=trained.config.model_copy(update={"backbone": gone})).write(tmp_path / "one")
    saved, source, compute = SavedModel.read(tmp_path / "one"), BackboneSource(tmp_path / "c"), resolve_compute("no")
    with pytest.raises(ModelError, match="there is no folder") as caught:
        TimeLLM.from_saved(saved, source, compute)
    assert "--params backbone.name=PATH" in caught.value.do
    with pytest.raises(ModelError, match="there is no folder"):
        TimeLLM.from_saved(saved, source, compute, gone.model_copy(update={"name": str(backbones["llama"])}))
    moved = TimeLLM.from_saved(saved, source, compute, gone.model_copy(update={"name": str(backbones["gpt2"])}))
    assert moved.network.backbone.config.model_type == "gpt2"


def save_as_trained_with(
    backbone: BackboneParams, source: BackboneSource, trained: TrainedModel, folder: Path
) -> SavedModel:
    """The trained model, as if its backbone had been found under another name in training."""
    found = {"backbone_identity": source.identity(backbone), "backbone_files": source.file_digests(backbone)}
    config = trained.config.model_copy(update={"backbone": backbone, **found})
    TrainedModel(config, trained.weights, trained.scaler, trained.linear).write(folder)
    return SavedModel.read(folder)


def test_a_hub_id_may_become_a_local_folder_and_a_folder_a_hub_id(
    trained: TrainedModel, backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without network has a copy of the files; another one has the hub's cache. Both have the backbone."""
    source, windows = BackboneSource(tmp_path / "c"), torch.from_numpy(random_windows(4, 48))
    folder = Path(shutil.copytree(backbones["gpt2"], tmp_path / "copy"))
    local = BackboneParams(name=str(folder))
    hub = fill_hub_cache(tmp_path / "hub", backbones["gpt2"], monkeypatch)
    of_hub = save_as_trained_with(hub, source, trained, tmp_path / "of_hub")
    of_folder = save_as_trained_with(local, source, trained, tmp_path / "of_folder")
    assert "revision" in of_hub.config.backbone_identity and "files" in of_folder.config.backbone_identity
    with torch.no_grad():
        expected = TimeLLM.from_saved(of_hub, source, resolve_compute("no"))(windows)
    assert of_folder.find_backbone(source, hub) == local, "the place of training comes first"
    fill_hub_cache(tmp_path / "empty", None, monkeypatch)
    there = of_hub.find_backbone(source, None)
    assert there == hub, "the revision of a hub id is its identity, wherever its files are"
    assert of_hub.find_backbone(source, local).name == local.name, (
        "a folder with the files, while the hub's are not here"
    )
    other = BackboneParams(name=str(backbones["llama"]))
    assert of_hub.find_backbone(source, other) == hub, "another backbone never takes its place"
    monkeypatch.setattr(BackboneSource, "identity", unreachable(BackboneSource.identity, hub.name))
    with pytest.raises(ModelError, match="no hub"):
        of_hub.find_backbone(source, None)
    moved = of_hub.find_backbone(source, local)
    assert moved.name == local.name
    with torch.no_grad():
        assert torch.equal(TimeLLM.from_saved(of_hub, source, resolve_compute("no"), local)(windows), expected)
    monkeypatch.undo()
    hub = fill_hub_cache(tmp_path / "hub", None, monkeypatch)
    shutil.rmtree(folder)
    assert of_folder.find_backbone(source, hub).name == hub.name
    with torch.no_grad():
        assert torch.equal(TimeLLM.from_saved(of_folder, source, resolve_compute("no"), hub)(windows), expected)


def unreachable(identity: Any, name: str) -> Any:
    """`identity` that fails for one name."""

    def asked(self: BackboneSource, params: BackboneParams) -> Any:
        if params.name == name:
            raise BackboneError("no hub", where="", do="")
        return identity(self, params)

    return asked


def test_the_same_weights_under_another_config_are_another_backbone(
    trained: TrainedModel, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """Another epsilon or activation computes other states from the same weights."""
    folder = Path(shutil.copytree(backbones["gpt2"], tmp_path / "copy"))
    source = BackboneSource(tmp_path / "c")
    saved = save_as_trained_with(BackboneParams(name=str(folder)), source, trained, tmp_path / "one")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_epsilon": 0.1}), encoding="utf-8")
    with pytest.raises(ModelError, match="not the one this model was trained with"):
        saved.find_backbone(source, None)


def test_a_model_of_format_1_is_read_and_forecasts_the_same(trained: TrainedModel, tmp_path: Path) -> None:
    """Champions and published models were written before format 2."""
    for name in ("new", "old"):
        trained.write(tmp_path / name)
    content = unsealed(json.loads((tmp_path / "old/config.json").read_text(encoding="utf-8")))
    data = content.pop("trained_on")["data"]
    del content["backbone_files"]
    del content["alpha"], content["alpha_reason"], content["model"]["linear"], content["model"]["season"]
    del content["sha256"]["linear.safetensors"]
    (tmp_path / "old/linear.safetensors").unlink()
    content |= {"format": 1, "data": data}
    (tmp_path / "old/config.json").write_text(json.dumps(sealed(content)), encoding="utf-8")
    new, old = SavedModel.read(tmp_path / "new"), SavedModel.read(tmp_path / "old")
    assert old.config.trained_on == TrainedOn(data=new.config.trained_on.data), "the file of training is unknown"
    assert old.config.format == 3 and old.config.backbone_files is None
    same = ("window", "split", "description", "channels", "training_id", "content_id", "seen_until", "parameters")
    assert all(getattr(old.config, name) == getattr(new.config, name) for name in same)
    source, windows = BackboneSource(tmp_path / "c"), torch.from_numpy(random_windows(4, 48))
    with torch.no_grad():
        one, other = (TimeLLM.from_saved(saved, source, resolve_compute("no"))(windows) for saved in (new, old))
    assert torch.equal(one, other)
    TimeLLM.from_saved(old, source, resolve_compute("no")).save(tmp_path / "again")
    assert SavedModel.read(tmp_path / "again").config.format == 3


@pytest.mark.parametrize("change", [{"format": 4}, {"format": None}, {"format": 1, "data": None}])
def test_a_model_of_a_format_that_is_not_known_is_refused(
    trained: TrainedModel, tmp_path: Path, change: dict[str, Any]
) -> None:
    """A field that is guessed gives other forecasts."""
    trained.write(tmp_path / "one")
    content = unsealed(json.loads((tmp_path / "one/config.json").read_text(encoding="utf-8")))
    (tmp_path / "one/config.json").write_text(json.dumps(sealed({**content, **change})), encoding="utf-8")
    with pytest.raises(ModelError, match=r"this version reads 3|cannot read config\.json or scaler\.json"):
        SavedModel.read(tmp_path / "one")


@pytest.mark.parametrize("change", [("seq_len", 50), ("d_ff", 10**7)])
def test_a_config_that_was_edited_is_refused(trained: TrainedModel, tmp_path: Path, change: tuple[str, int]) -> None:
    """A model of another window length forecasts other numbers, and nothing else would show it."""
    folder = tmp_path / "model"
    trained.write(folder)
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    content["window" if change[0] == "seq_len" else "model"][change[0]] = change[1]
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="its content was changed"):
        SavedModel.read(folder)


def test_sizes_are_compared_with_the_files_header_before_anything_is_built(
    trained: TrainedModel, tmp_path: Path
) -> None:
    """An untrusted config with a huge d_ff took 20 GB before its shapes were compared."""
    folder = tmp_path / "model"
    trained.write(folder)
    content = unsealed(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    content["model"]["d_ff"] = 60_000
    (folder / "config.json").write_text(json.dumps(sealed(content)), encoding="utf-8")
    with pytest.raises(ModelError, match="do not fit this model"):
        TimeLLM.from_saved(SavedModel.read(folder), BackboneSource(tmp_path / "cache"), resolve_compute("no"))


def reseal(folder: Path, **files: bytes) -> None:
    """Replace files of a model folder, with digests that fit: what an untrusted source may give."""
    content = unsealed(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    for name, data in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(data)
        content["sha256"][path.name] = digest_of_file(path)
    (folder / "config.json").write_text(json.dumps(sealed(content)), encoding="utf-8")


def test_weights_and_intervals_of_an_untrusted_source_are_checked(trained: TrainedModel, tmp_path: Path) -> None:
    """Digests that fit only show that a file is what its writer wrote."""
    weights = {name: torch.full_like(weight, float("nan")) for name, weight in trained.weights.items()}
    cases = {
        "not finite numbers": {"model_safetensors": safetensors.torch.save(weights)},
        "cannot read the weights": {"model_safetensors": b"\xff" * 64},
        "intervals have the shape": {
            "intervals_safetensors": safetensors.torch.save({"half_widths": torch.zeros(1, 1)})
        },
        "cannot read the prediction intervals": {"intervals_safetensors": b"nothing"},
    }
    for number, (message, files) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        trained.write(folder)
        reseal(folder, **files)
        read = SavedModel.read(folder)
        with pytest.raises(ModelError, match=message):
            read.intervals() if "intervals" in message else TimeLLM.from_saved(
                read, BackboneSource(tmp_path / "cache"), resolve_compute("no")
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
        TrainedModel(trained.config, weights, trained.scaler, trained.linear).publish(tmp_path / "new")
    assert not list(tmp_path.iterdir())
