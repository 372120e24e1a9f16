"""4- and 8-bit backbones: refused clearly where they cannot be, and right where they can.

The package computes on a CPU too, slowly; that is what these tests use, with the project's own refusal lifted.
"""

import logging
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_models import build
from torch import Tensor
from transformers import LlamaConfig, LlamaModel

from conftest import make_inputs, make_tokenizer, random_windows, small_parameters
from timellm_pipeline.errors import BackboneError
from timellm_pipeline.model import quantized
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.parameters import BackboneParams, Parameters
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model

KINDS = ("nf4", "8bit")
BYTES = {"nf4": 0.5, "8bit": 1.0}


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bitsandbytes compute on the CPU."""
    pytest.importorskip("bitsandbytes", reason="the extra [quant] is not installed (make test-all does)")
    monkeypatch.setattr(quantized, "DEVICES", ("cpu",))


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A tiny Llama that is wide enough for the package's blocks of 64 weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=512,
        initializer_range=0.2,
    )
    LlamaModel(config).save_pretrained(tmp_path / "llama")
    make_tokenizer(bert=False).save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def quantized_parameters(folder: Path, quantization: str) -> Parameters:
    """Small parameters around a quantised backbone."""
    small = small_parameters(folder, model={"linear": "none"}, training={"max_steps": 20, "learning_rate": 0.01})
    return small.model_copy(update={"backbone": small.backbone.model_copy(update={"quantization": quantization})})


@pytest.mark.parametrize("quantization", KINDS)
def test_quantised_weights_without_a_gpu_are_refused_at_once(
    quantization: str, raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """Before any weight is read: nothing is run in another precision instead."""
    parameters = quantized_parameters(backbones["llama"], quantization)
    inputs, store = make_inputs(raw_series, parameters), CheckpointStore(tmp_path / "s")
    with pytest.raises(BackboneError, match=f"{quantization} weights need a GPU") as caught:
        train_model(inputs, parameters, BackboneSource(tmp_path / "c"), store, "v")
    assert caught.value.where == "backbone.quantization" and "none" in caught.value.do
    assert not (tmp_path / "s").exists(), "nothing half-written"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(quantized.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackboneError, match="bitsandbytes") as caught:
        quantized.refuse_quantization(BackboneParams(quantization="nf4"), Compute(torch.device("cuda")))
    assert "[quant]" in caught.value.do


def test_another_number_of_bits_is_another_backbone(backbones: dict[str, Path], tmp_path: Path) -> None:
    """Its forecasts differ, so its trainings must not share checkpoints; without quantisation nothing changes."""
    source, name = BackboneSource(tmp_path), str(backbones["llama"])
    plain = source.identity(BackboneParams(name=name))
    assert "quantization" not in plain
    assert source.identity(BackboneParams(name=name, quantization="nf4")) == {**plain, "quantization": "nf4"}


@pytest.mark.parametrize("quantization", KINDS)
@pytest.mark.filterwarnings("default")
def test_a_quantised_forecast_depends_on_its_window_alone(
    quantization: str, on_the_cpu: None, llama: Path, tmp_path: Path
) -> None:
    """The package's default for 8 bits searches outliers in the complete batch: 2 % between alone and in a batch."""
    model = build(quantized_parameters(llama, quantization), tmp_path)
    windows = torch.from_numpy(random_windows(6, 48))
    with torch.no_grad():
        together = model(windows)
        alone = torch.cat([model(windows[[row]]) for row in range(6)])
    difference = (together - alone).abs().max() / together.abs().max()
    assert difference < 1e-3, "the CPU's kernels sum in other orders for other sizes, and 8-bit rounding lifts that"


@pytest.mark.parametrize("quantization", KINDS)
@pytest.mark.filterwarnings("default")
def test_a_quantised_backbone_trains_what_is_around_it(
    quantization: str,
    on_the_cpu: None,
    raw_series: pd.DataFrame,
    llama: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Frozen weights are small, trained ones are float32 and learn, and the saved model records its backbone."""
    parameters = quantized_parameters(llama, quantization)
    loaded = BackboneSource(tmp_path / "c").load(parameters.backbone, Compute())
    linear: Tensor = loaded.model.layers[0].mlp.gate_proj.weight
    assert linear.numel() * linear.element_size() == 128 * 256 * BYTES[quantization]
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    with caplog.at_level(logging.INFO):
        store = CheckpointStore(tmp_path / "s")
        result = train_model(
            make_inputs(raw_series, parameters), parameters, BackboneSource(tmp_path / "c"), store, "v"
        )
    assert all(weight.dtype == torch.float32 for weight in result.model.weights.values())
    assert result.history["loss"].iloc[-1] < result.history["loss"].iloc[0]
    assert result.record.backbone["quantization"] == quantization
    assert "bitsandbytes" in result.record.content
    assert "MatMul8bitLt" not in caplog.text
