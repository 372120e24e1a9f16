"""The network trains the parts around a frozen backbone, and knows nothing of files, tables or tokenizers."""

import ast
import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import build, forward_and_backward, relative
from transformers import LlamaConfig, LlamaModel

from conftest import KINDS, ROOT, random_windows, small_parameters
from timellm_pipeline.errors import BackboneError, ModelError
from timellm_pipeline.model.network import Network
from timellm_pipeline.model.prompt import PromptTokens


def test_the_network_knows_no_files() -> None:
    """Layers that read a folder or a table could not be used, tested or exported without one."""
    source = (ROOT / "src/timellm_pipeline/model/network.py").read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name for node in imports for name in ([node.module] if isinstance(node, ast.ImportFrom) else [])}
    names |= {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    own = {name.removeprefix("timellm_pipeline.") for name in names if name.startswith("timellm_pipeline.")}
    others = {name.split(".")[0] for name in names if not name.startswith("timellm_pipeline")}
    assert others == {"collections", "typing", "torch", "jaxtyping"}
    layers = {"gated", "patches", "prefix", "prompt", "reprogramming", "statistics", "weights"}
    assert own <= {"errors", "parameters", *(f"model.{name}" for name in layers)}


def test_a_network_runs_without_a_file_or_a_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same promise, tried: every attempt to open a file fails while it is built, trained and run."""

    def refused(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the network opened a file")

    parameters = small_parameters("none")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    backbone = LlamaModel(LlamaConfig(vocab_size=64, num_hidden_layers=2, **sizes)).eval()
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", refused)
        patch.setattr(Path, "open", refused)
        network = Network(parameters.window, parameters.model, backbone, shared_ids=[1, 2, 3])
        prompts = PromptTokens(3, torch.tensor([[0, 7], [8, 9]]), torch.tensor([[False, True], [True, True]]))
        forecast = network(torch.from_numpy(random_windows(2, 48)), prompts)
        forecast.sum().backward()
    assert forecast.shape == (2, 12) and torch.isfinite(forecast).all()
    assert all(weight.grad is not None for weight in network.trainables().values())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_frozen_prefix_gives_the_outputs_and_gradients_of_a_full_forward(
    backbones: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """A wrong mask or position behind kept keys and values would train, only worse."""
    model = build(small_parameters(backbones[kind], model={"dropout": 0.0}), tmp_path)
    windows = torch.from_numpy(random_windows(6, 48, seed=5))
    assert model.network.backbone_path == "prefix"
    prefix = forward_and_backward(model, windows)
    model.network.backbone_path = "full"
    full = forward_and_backward(model, windows)
    assert relative(prefix.pop("forecast"), full.pop("forecast")) <= 1e-5
    for name, gradient in full.items():
        assert relative(prefix[name], gradient) <= 1e-4, name


@pytest.mark.long
def test_compiled_training_gives_the_same_outputs_and_gradients_for_prompts_of_any_length(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    """A compiled function specialised for one prompt length would be wrong, or slow, for the next.

    In a process of its own: the shape checks of this suite cannot be compiled.
    """
    script = Path(__file__).with_name("compare_compiled.py")
    command = [sys.executable, str(script), str(backbones["llama"]), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(set(found["prompt_lengths"])) > 1 and found["graphs"] == 1
    assert max(found["differences"].values()) <= 1e-4, found


def test_a_bidirectional_backbone_cannot_be_compiled(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A switch that silently changes nothing would be believed."""
    with pytest.raises(BackboneError, match="which training.compile needs"):
        build(small_parameters(backbones["bert"]), tmp_path).network.compile_training()


def test_a_bidirectional_backbone_takes_one_full_forward_pass(backbones: dict[str, Path], tmp_path: Path) -> None:
    """Kept keys and values would be wrong for BERT without any error."""
    paths = {kind: build(small_parameters(backbones[kind]), tmp_path).network.backbone_path for kind in KINDS}
    assert paths == {"llama": "prefix", "gpt2": "prefix", "bert": "full"}


def test_the_backbone_stays_in_eval_mode_and_frozen(backbones: dict[str, Path], tmp_path: Path) -> None:
    """GPT-2 drops a tenth of its units in training mode, which would make frozen features noise."""
    model = build(small_parameters(backbones["gpt2"], model={"dropout": 0.0}), tmp_path)
    network = model.train().network
    windows = torch.from_numpy(random_windows(2, 48))
    assert torch.equal(model(windows), model(windows))
    assert not any(weight.requires_grad for weight in network.backbone.parameters())
    assert network.patch_embedding.training and not network.backbone.training
    assert not model.eval().network.patch_embedding.training


def test_prototypes_are_made_anew_when_weights_have_changed(backbones: dict[str, Path], tmp_path: Path) -> None:
    """Keys kept from an older step would make every validation score another model than the one trained."""
    model = build(small_parameters(backbones["llama"]), tmp_path)
    windows = torch.from_numpy(random_windows(2, 48))
    with torch.no_grad():
        before = model(windows)
        assert torch.equal(before, model(windows))
        model.network.prototypes.vectors.mul_(1.5)
        assert not torch.equal(before, model(windows))


@pytest.mark.parametrize("kind", ["free", "vocabulary"])
def test_trainable_weights_are_counted_and_hold_nothing_of_the_backbone(
    backbones: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """A saved model with the backbone inside would be gigabytes; one without all trainables could not be loaded."""
    network = build(small_parameters(backbones["llama"], model={"prototypes": kind}), tmp_path).network
    prototypes = 20 * 32 if kind == "free" else 20 * 512 + 20
    patches, reprogramming, head = 8 * 8 * 3, (8 * 16 + 16) + 2 * (32 * 16 + 16) + (16 * 32 + 32), 8 * 12 * 12 + 12
    assert network.count_parameters()["trainable"] == prototypes + patches + reprogramming + head
    assert network.count_parameters()["frozen"] == sum(weight.numel() for weight in network.backbone.parameters())
    assert not [name for name in network.trainables() if name.startswith("backbone")]


def test_a_head_wider_than_the_backbone_is_refused(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A slice past the last unit is shorter, and fails in the head with shapes that name no parameter."""
    with pytest.raises(ModelError, match="the first 33 hidden units; the backbone has 32") as caught:
        build(small_parameters(backbones["llama"], model={"d_ff": 33}), tmp_path)
    assert caught.value.where == "model.d_ff" and "32 or less" in caught.value.do


def test_weights_that_do_not_fit_are_named(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A missing key accepted silently leaves random weights in a trained model."""
    model = build(small_parameters(backbones["llama"]), tmp_path)
    weights = {name: weight.detach().clone() for name, weight in model.network.trainables().items()}
    del weights["head.bias"]
    weights["surprise"] = torch.zeros(1)
    weights["head.weight"] = torch.zeros(1, 2)
    with pytest.raises(ModelError) as caught:
        model.network.load_trainables(weights)
    for part in ("`head.bias` is missing", "`surprise` is unknown", "`head.weight` is (1, 2)"):
        assert part in caught.value.what
    with pytest.raises(ModelError, match="mapping_layer.weight"):
        model.load_upstream_state_dict({"head.bias": torch.zeros(12)})
