"""Promises 1 and 2: a forecast depends on its window alone, and is the published one where it should be."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import KINDS, random_windows, small_parameters
from reference import PublishedTimeLLM
from timellm_pipeline.errors import BackboneError, ModelError, PromptError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.sizes import count_parameters
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import Parameters

DESCRIPTION = "Hourly load and oil temperature of a transformer."
PUBLISHED = {"significant_digits": None, "lags": "circular", "layout": "published", "statistics": "normalised"}


def build(parameters: Parameters, cache: Path, seed: int = 0) -> TimeLLM:
    loaded = BackboneSource(cache).load(parameters.backbone, Compute())
    torch.manual_seed(seed)
    return TimeLLM.around(parameters.window, parameters.prompt, parameters.model, loaded, DESCRIPTION).eval()


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("prompt", [{}, PUBLISHED], ids=["default", "published"])
@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_a_forecast_is_the_same_alone_and_in_any_batch(
    backbones: dict[str, Path], tmp_path: Path, kind: str, prompt: dict, record_property
) -> None:
    """Without mask and positions a window's forecast would move with the length of its neighbours' prompts."""
    model = build(small_parameters(backbones.get(kind, "none"), prompt=prompt), tmp_path)
    windows = torch.from_numpy(random_windows(16, 48))
    with torch.no_grad():
        together = model(windows)
        shuffled = model(windows.flip(0)).flip(0)
        alone = torch.cat([model(windows[[row]]) for row in range(len(windows))])
    worst = max(relative(together, alone), relative(shuffled, alone))
    print(
        f"\npromise 1, {kind}, {'published' if prompt else 'default'} prompt: largest relative difference {worst:.1e}"
    )
    assert worst <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_an_imported_published_checkpoint_gives_the_published_forecasts(
    backbones: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """Every departure from the published arithmetic that is not meant would hide in a retrained model."""
    parameters = small_parameters(backbones[kind], prompt=PUBLISHED, model={"prototypes": "vocabulary"})
    ours = build(parameters, tmp_path)
    loaded = BackboneSource(tmp_path).load(parameters.backbone, Compute())
    torch.manual_seed(7)
    window, model = parameters.window, parameters.model
    theirs = PublishedTimeLLM(
        loaded.model,
        loaded.tokenizer,
        DESCRIPTION,
        seq_len=window.seq_len,
        pred_len=window.pred_len,
        patch_len=window.patch_len,
        stride=window.stride,
        d_model=model.d_model,
        d_ff=model.d_ff,
        num_heads=model.num_heads,
        num_prototypes=model.num_prototypes,
        dropout=model.dropout,
    ).eval()
    ours.load_upstream_state_dict({f"module.{name}": value for name, value in theirs.state_dict().items()})
    windows = torch.from_numpy(random_windows(24, 48, seed=3))
    with torch.no_grad():
        worst = max(relative(ours(windows[[row]]), theirs(windows[[row]])) for row in range(len(windows)))
    print(f"\npromise 2, {kind}: largest relative difference {worst:.1e} over {len(windows)} windows, one at a time")
    assert worst <= 1e-5


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_frozen_prefix_gives_the_outputs_and_gradients_of_a_full_forward(
    backbones: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """A wrong mask or position behind kept keys and values would train, only worse."""
    model = build(small_parameters(backbones[kind], model={"dropout": 0.0}), tmp_path)
    windows = torch.from_numpy(random_windows(6, 48, seed=5))
    found = {}
    for road in ("prefix", "plain"):
        model.road = road
        model.zero_grad()
        forecast = model(windows)
        forecast.square().mean().backward()
        found[road] = (forecast.detach(), {name: weight.grad.clone() for name, weight in model.trainables().items()})
    assert relative(found["prefix"][0], found["plain"][0]) <= 1e-5
    del found["plain"][1]["reprogramming.key.bias"]  # it cancels in the softmax: its gradient is rounding alone
    for name, gradient in found["plain"][1].items():
        assert relative(found["prefix"][1][name], gradient) <= 1e-4, name


@pytest.mark.long
@pytest.mark.long
def test_compiled_training_gives_the_same_outputs_and_gradients_for_prompts_of_any_length(
    backbones: dict[str, Path],
) -> None:
    """A compiled function that learned one prompt length by heart would be wrong, or slow, for the next.

    In a process of its own: the shape checks of this suite cannot be compiled.
    """
    script = Path(__file__).with_name("compare_compiled.py")
    command = [sys.executable, str(script), str(backbones["llama"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(set(found["prompt_lengths"])) > 1 and found["graphs"] == 1
    assert max(found["differences"].values()) <= 1e-4, found


def test_a_backbone_that_looks_both_ways_cannot_be_compiled(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A switch that changes nothing in silence would be believed."""
    with pytest.raises(BackboneError, match="nothing else is compiled"):
        build(small_parameters(backbones["bert"]), tmp_path).compile_training()


def test_a_backbone_that_looks_both_ways_takes_takes_the_plain_road(backbones: dict[str, Path], tmp_path: Path) -> None:
    """Kept keys and values would be wrong for BERT without any error."""
    roads = {kind: build(small_parameters(backbones[kind]), tmp_path).road for kind in KINDS}
    assert roads == {"llama": "prefix", "gpt2": "prefix", "bert": "plain"}


def test_the_backbone_stays_in_eval_mode_and_frozen(backbones: dict[str, Path], tmp_path: Path) -> None:
    """GPT-2 drops a tenth of its units in training mode, which would make frozen features noise."""
    model = build(small_parameters(backbones["gpt2"], model={"dropout": 0.0}), tmp_path)
    model.train()
    windows = torch.from_numpy(random_windows(2, 48))
    assert torch.equal(model(windows), model(windows))
    assert not any(weight.requires_grad for weight in model.backbone.parameters())
    assert model.patch_embedding.training and not model.backbone.training


def test_prototypes_are_made_anew_when_weights_have_changed(backbones: dict[str, Path], tmp_path: Path) -> None:
    """Keys kept from an older step would make every validation score another model than the one trained."""
    model = build(small_parameters(backbones["llama"]), tmp_path)
    windows = torch.from_numpy(random_windows(2, 48))
    with torch.no_grad():
        before = model(windows)
        assert torch.equal(before, model(windows))
        model.prototypes.vectors.mul_(1.5)
        assert not torch.equal(before, model(windows))


@pytest.mark.parametrize("kind", ["free", "vocabulary"])
def test_trainable_weights_are_counted_and_hold_nothing_of_the_backbone(
    backbones: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """A saved model with the backbone inside would be gigabytes; one without all trainables could not be loaded."""
    model = build(small_parameters(backbones["llama"], model={"prototypes": kind}), tmp_path)
    prototypes = 20 * 32 if kind == "free" else 20 * 512 + 20
    patches, reprogramming, head = 8 * 8 * 3, (8 * 16 + 16) + 2 * (32 * 16 + 16) + (16 * 32 + 32), 8 * 12 * 12 + 12
    assert count_parameters(model)["trainable"] == prototypes + patches + reprogramming + head
    assert count_parameters(model)["frozen"] == sum(weight.numel() for weight in model.backbone.parameters())


def test_weights_that_do_not_fit_are_named(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A missing key accepted in silence leaves random weights in a trained model."""
    model = build(small_parameters(backbones["llama"]), tmp_path)
    weights = {name: weight.detach().clone() for name, weight in model.trainables().items()}
    del weights["head.bias"]
    weights["surprise"] = torch.zeros(1)
    weights["head.weight"] = torch.zeros(1, 2)
    with pytest.raises(ModelError) as caught:
        model.load_trainables(weights)
    for part in ("`head.bias` is missing", "`surprise` is unknown", "`head.weight` is (1, 2)"):
        assert part in caught.value.what
    with pytest.raises(ModelError, match="mapping_layer.weight"):
        model.load_upstream_state_dict({"head.bias": torch.zeros(12)})


def test_a_prompt_longer_than_the_backbones_positions_is_refused(backbones: dict[str, Path], tmp_path: Path) -> None:
    """Cut-off prompts and positions beyond the table would be wrong in silence, or fail hours later."""
    parameters = small_parameters(backbones["gpt2"])
    loaded = BackboneSource(tmp_path).load(parameters.backbone, Compute())
    with pytest.raises(PromptError, match="positions; the backbone has 512"):
        TimeLLM.around(parameters.window, parameters.prompt, parameters.model, loaded, "words " * 600)


def test_constant_windows_give_finite_forecasts(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A stuck sensor divides by a spread of zero."""
    model = build(small_parameters(backbones["llama"]), tmp_path)
    with torch.no_grad():
        forecast = model(torch.from_numpy(np.full((3, 48), 2.5, dtype=np.float32)))
    assert torch.isfinite(forecast).all()
