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
    LLAMA_3_70B,
    USABLE,
    BackboneSizes,
    layers_that_fit,
    memory_table,
    needed_gib,
    settings_for,
    shards_table,
)
from timellm_pipeline.model.sizes import trainable_count
from timellm_pipeline.parameters import ModelParams, WindowParams

# conf/colab and conf/etth1_llama3
WINDOW, MODEL = WindowParams(seq_len=256, pred_len=96), ModelParams(num_prototypes=1000, d_model=32, d_ff=128)
TRAINABLE = trainable_count(WINDOW, MODEL, (128_256, 4_096))
TRAINABLE_70B = trainable_count(WINDOW, MODEL, (128_256, 8_192))
SHARED = {"Llama 3 8B": (LLAMA_3_8B, TRAINABLE), "Llama 3 70B": (LLAMA_3_70B, TRAINABLE_70B)}


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


def test_shared_layers_need_the_memory_of_a_calculation_by_hand() -> None:
    """An estimate of half the layers alone would promise a GPU that is too small."""
    layer = 2 * 8_192**2 + 2 * 8_192 * 1_024 + 3 * 8_192 * 28_672 + 2 * 8_192
    outside = 128_256 * 8_192 + 8_192
    assert LLAMA_3_70B.layer_bytes() == 2 * layer
    assert round((80 * layer + outside) / 1e9, 3) == 69.503, "Llama 3 70B has 70.55 B with its output layer"
    assert LLAMA_3_70B.frozen_bytes(80, shards=1) == 2 * LLAMA_3_70B.frozen_weights(80) == 2 * (80 * layer + outside)
    assert LLAMA_3_70B.frozen_bytes(80, shards=4) == 2 * (20 * layer + 2 * layer + outside)
    step = 2 * 80 * (2 * 32 * (2 * 28_672 + 6 * 8_192) + 2 * (2 * 200 + 32) * 2 * 1_024)
    by_hand = 1 + (2 * (22 * layer + outside) + 20 * TRAINABLE_70B + step) / GIB
    assert needed_gib(LLAMA_3_70B, 80, TRAINABLE_70B, shards=4) == pytest.approx(by_hand)


@pytest.mark.parametrize(("sizes", "trainable"), SHARED.values(), ids=SHARED)
def test_more_workers_need_less_but_never_less_than_embeddings_and_two_layers(
    sizes: BackboneSizes, trainable: int
) -> None:
    """A worker computes with complete layers; without them the estimate would go to zero with more workers."""
    whole = needed_gib(sizes, sizes.layers, trainable)
    needed = [needed_gib(sizes, sizes.layers, trainable, shards=shards) for shards in (1, 2, 4, 8, 10_000)]
    assert needed[0] == whole and needed == sorted(needed, reverse=True) and len(set(needed)) == len(needed)
    rest = whole - sizes.frozen_bytes(sizes.layers) / GIB
    assert needed[-1] > rest + sizes.frozen_bytes(2) / GIB
    assert sizes.frozen_bytes(1, shards=2) == sizes.frozen_bytes(1) + sizes.layer_bytes() / 2, "gathers one, not two"


def test_quantised_layers_are_not_shared() -> None:
    """Training refuses them, so a number for them would be a promise that is not kept."""
    with pytest.raises(AssertionError, match="cannot be shared"):
        needed_gib(LLAMA_3_8B, 32, TRAINABLE, quantization="nf4", shards=2)


def test_the_table_names_a_gpu_that_fits() -> None:
    """The GPU that it names is what people rent."""
    rows = [row.split(" | ")[1:] for row in shards_table(SHARED).splitlines()[2:]]
    assert len(rows) == 4
    for cell in [cell.removesuffix(" |") for row in rows for cell in row]:
        gib, gpu = cell.split(" GiB: ")
        fitting = [name for name, size in GPUS.items() if float(gib) <= USABLE * size]
        assert gpu == (fitting[0] if fitting else "none of these GPUs")


@pytest.mark.parametrize("name", ["hosted.md", "scale-out.md"])
@pytest.mark.parametrize("folder", ["docs", "docs/zh"])
def test_the_page_shows_this_table(folder: str, name: str) -> None:
    """A table that was typed in is wrong after the next change."""
    text = (ROOT / folder / name).read_text(encoding="utf-8")
    table = memory_table(LLAMA_3_8B, TRAINABLE) if name == "hosted.md" else shards_table(SHARED)
    numbers = [re.findall(r"[\d.]+", row) for row in table.splitlines()[2:]]
    shown = [re.findall(r"[\d.]+", row) for row in text.splitlines() if row.startswith("|") and "GiB" in row]
    assert shown == numbers
