"""The memory table: its arithmetic is compared with real models, and the page with the arithmetic."""

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, BitsAndBytesConfig

from conftest import ROOT
from timellm_pipeline.model.memory import (
    GIB,
    GPUS,
    LLAMA_3_8B,
    USABLE,
    BackboneSizes,
    layers_that_fit,
    memory_table,
    needed_gib,
    settings_for,
)
from timellm_pipeline.model.sizes import trainable_count
from timellm_pipeline.parameters import ModelParams, WindowParams

# conf/colab and conf/etth1_llama3
TRAINABLE = trainable_count(
    WindowParams(seq_len=256, pred_len=96), ModelParams(num_prototypes=1000, d_model=32, d_ff=128), (128_256, 4_096)
)


def test_weights_are_counted_as_a_real_model_has_them(backbones: dict[str, Path]) -> None:
    """A table from a wrong formula would be believed until the GPU is full."""
    sizes = BackboneSizes.of(AutoConfig.from_pretrained(backbones["llama"]))
    model = AutoModel.from_pretrained(backbones["llama"], dtype=torch.float16)
    assert sizes.frozen_weights(sizes.layers) == model.num_parameters()
    assert sizes.frozen_bytes(sizes.layers) == sum(
        weight.numel() * weight.element_size() for weight in model.parameters()
    )
    assert round(LLAMA_3_8B.frozen_weights(32) / 1e9, 3) == 7.505, "Llama 3 8B has 8.03 B with its output layer"


@pytest.mark.parametrize("quantization", ["8bit", "nf4"])
@pytest.mark.filterwarnings("default")
def test_quantised_bytes_are_those_of_the_package(quantization: str, backbones: dict[str, Path]) -> None:
    """To a part in fifty: 8 bits also keep a scale for each row."""
    pytest.importorskip("bitsandbytes", reason="the extra [quant] is not installed (make test-all does)")
    config = (
        BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
        if quantization == "nf4"
        else BitsAndBytesConfig(load_in_8bit=True)
    )
    model = AutoModel.from_pretrained(
        backbones["llama"], quantization_config=config, device_map={"": "cpu"}, dtype=torch.float16
    )
    sizes = BackboneSizes.of(model.config)
    counted = sizes.frozen_bytes(sizes.layers, quantization)
    held = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    assert counted == pytest.approx(held, rel=0.02)


def test_what_a_step_keeps_is_about_what_autograd_keeps(backbones: dict[str, Path]) -> None:
    """Measured on the pass itself, within a quarter; it is the smallest part of the sum."""
    sizes = BackboneSizes.of(AutoConfig.from_pretrained(backbones["llama"]))
    model = AutoModel.from_pretrained(backbones["llama"], attn_implementation="sdpa").requires_grad_(False)
    from timellm_pipeline.model.gated import keep_less
    from timellm_pipeline.model.prefix import run_patches

    keep_less(model)
    batch, prompt, patches, kept = 4, 40, 32, {}
    states = torch.randn(batch, patches, 32, requires_grad=True)
    keys = [(torch.randn(batch, 2, prompt, 8), torch.randn(batch, 2, prompt, 8)) for _ in range(3)]

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run_patches(model, keys, torch.ones(batch, prompt, dtype=torch.bool), states).sum().backward()
    measured = sum(size for place, size in kept.items() if place not in weights)
    counted = 2 * sizes.step_bytes(3, batch, prompt, patches)  # float32 here
    assert counted == pytest.approx(measured, rel=0.25)


def test_settings_fit_the_gpu_and_the_next_four_layers_do_not() -> None:
    """A suggestion that runs out of memory costs an evening; one that is too small costs accuracy."""
    gib = GPUS["16 GB without native bf16 (T4)"]
    chosen = settings_for(gib, False, LLAMA_3_8B, TRAINABLE)
    assert chosen["training.precision"] == "fp16", "bf16 is emulated there"
    layers = chosen["backbone.layers"]
    assert needed_gib(LLAMA_3_8B, layers, TRAINABLE) <= USABLE * gib < needed_gib(LLAMA_3_8B, layers + 4, TRAINABLE)
    assert settings_for(39.4, True, LLAMA_3_8B, TRAINABLE) == {"training.precision": "bf16", "backbone.layers": 32}
    assert layers_that_fit(2.0, LLAMA_3_8B, TRAINABLE) == 0
    vocabulary = TRAINABLE - 1_000 * 4_096 + 1_000 * 128_257
    assert needed_gib(LLAMA_3_8B, 32, vocabulary) - needed_gib(LLAMA_3_8B, 32, TRAINABLE) == pytest.approx(
        20 * 1_000 * (128_257 - 4_096) / GIB
    )


@pytest.mark.parametrize("page", ["docs/hosted.md", "docs/zh/hosted.md"])
def test_the_page_shows_this_table(page: str) -> None:
    """A table that was typed in is wrong after the next change."""
    text = (ROOT / page).read_text(encoding="utf-8")
    numbers = [re.findall(r"[\d.]+", row) for row in memory_table(LLAMA_3_8B, TRAINABLE).splitlines()[2:]]
    shown = [re.findall(r"[\d.]+", row) for row in text.splitlines() if row.startswith("|") and "GiB" in row]
    assert shown == numbers
