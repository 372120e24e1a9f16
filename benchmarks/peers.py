"""The implementations that are timed against each other: one backbone, one batch, and equal weights where possible.

Setting: SmolLM2 with 12 layers, 512 points in, 96 out, batch 8, float32, a description of about 500 characters.
"""

import argparse
import importlib.util
import platform
import statistics
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reference import PublishedTimeLLM
from synthetic import synthetic_series
from timellm_pipeline.model.backbone import BackboneSource, LoadedBackbone
from timellm_pipeline.model.batches import BatchMaker
from timellm_pipeline.model.compute import CPU, Compute
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import BackboneParams, ModelParams, PromptParams, WindowParams
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.windows import Windows, windows_between

DESCRIPTION = (
    "This synthetic hourly series stands for the load and oil temperature of an electricity transformer. It has six "
    "loads, high, middle and low, useful and useless, with daily and weekly cycles whose size itself changes over the "
    "week, with slow drift and noise that remembers its last hours, and a target, the temperature of the oil, which "
    "follows the loads with a delay and the outside temperature over the year. Values are in units of each channel's "
    "own training mean and deviation."
)
PUBLISHED = PromptParams(significant_digits=None, lags="circular", layout="published", statistics="normalised")
NAMES = {
    "ours": "ours, default parameters",
    "compiled": "ours, training.compile",
    "equal": "ours, equal work (vocabulary, full reprs, circular lags)",
    "reference": "published method, plain (benchmarks/reference.py)",
    "upstream": "published code itself",
    "neuralforecast": "neuralforecast's TimeLLM",
}


@dataclass(frozen=True)
class Setting:
    """Sizes of a benchmark."""

    layers: int = 12
    seq_len: int = 512
    pred_len: int = 96
    batch_size: int = 8
    d_model: int = 32
    d_ff: int = 32
    num_heads: int = 8
    num_prototypes: int = 1000
    dropout: float = 0.1

    @property
    def window(self) -> WindowParams:
        """The window group of these sizes."""
        return WindowParams(seq_len=self.seq_len, pred_len=self.pred_len)

    def model(self, prototypes: str) -> ModelParams:
        """The model group of these sizes."""
        return ModelParams(
            linear="none",  # the published code has no linear part
            prototypes=prototypes,
            num_prototypes=self.num_prototypes,
            d_model=self.d_model,
            d_ff=self.d_ff,
            num_heads=self.num_heads,
            dropout=self.dropout,
        )


@dataclass(frozen=True)
class Peer:
    """A model to be timed.

    Attributes:
        module: the network whose weights are trained.
        forward: takes window numbers to forecasts and truths.
        ours: the `TimeLLM` around the network; None for other implementations.
    """

    name: str
    module: nn.Module
    data: Windows
    forward: Callable[[np.ndarray], tuple[Tensor, Tensor]]
    ours: TimeLLM | None = None

    def weights(self) -> list[nn.Parameter]:
        """The trainable weights."""
        return [weight for weight in self.module.parameters() if weight.requires_grad]


def windows(setting: Setting) -> Windows:
    """All windows of a scaled synthetic series of seven channels."""
    table = synthetic_series(num_rows=4_000).set_index("date")
    scaled = ((table - table.mean()) / table.std(ddof=0)).astype(np.float32)
    columns = {str(name): scaled[name].to_numpy() for name in scaled.columns}
    panel = Panel.from_columns(columns, start=scaled.index[0], frequency="h")
    starts = panel.num_rows - setting.seq_len - setting.pred_len + 1
    return windows_between(panel, (0, starts), 1, setting.window)


def load_backbone(setting: Setting) -> LoadedBackbone:
    """SmolLM2's first layers in float32."""
    return BackboneSource().load(BackboneParams(layers=setting.layers), Compute())


def build(
    name: str,
    setting: Setting,
    loaded: LoadedBackbone,
    upstream: Path | None = None,
    device: torch.device = CPU,
) -> Peer:
    """A peer by name, its trainable weights drawn from seed 0."""
    torch.manual_seed(0)
    data = windows(setting)
    if name in ("ours", "compiled", "equal"):
        prompt, model = (PUBLISHED, "vocabulary") if name == "equal" else (PromptParams(), "free")
        ours = TimeLLM.around(setting.window, prompt, setting.model(model), loaded, DESCRIPTION)
        maker = BatchMaker(data, ours.writer)
        if name == "compiled":
            ours.network.compile_training()

        def forward(which: np.ndarray) -> tuple[Tensor, Tensor]:
            batch = maker[which].to(device)
            return ours(batch.x, batch.prompts), batch.y

        ours.to(device)
        return Peer(name, ours.network, data, forward, ours)
    if name == "neuralforecast":
        theirs: nn.Module = _neuralforecast(setting, loaded)
    else:
        # The published code asks for attention maps, which no fused attention gives.
        loaded.model.set_attn_implementation("eager")
        theirs = (
            _upstream(setting, loaded, upstream) if name == "upstream" and upstream else _reference(setting, loaded)
        )

    def forward_published(which: np.ndarray) -> tuple[Tensor, Tensor]:
        x, y = data.gather(which)
        made = theirs(torch.from_numpy(x).to(device))
        return made, torch.from_numpy(y).to(device)

    return Peer(name, theirs.to(device), data, forward_published)


def _reference(setting: Setting, loaded: LoadedBackbone) -> PublishedTimeLLM:
    return PublishedTimeLLM(
        loaded.model,
        loaded.tokenizer,
        DESCRIPTION,
        seq_len=setting.seq_len,
        pred_len=setting.pred_len,
        patch_len=setting.window.patch_len,
        stride=setting.window.stride,
        d_model=setting.d_model,
        d_ff=setting.d_ff,
        num_heads=setting.num_heads,
        num_prototypes=setting.num_prototypes,
        dropout=setting.dropout,
    )


def _upstream(setting: Setting, loaded: LoadedBackbone, path: Path) -> nn.Module:
    """The published `models/TimeLLM.py` from a checkout, its hub loaders replaced by the backbone in memory."""
    sys.path.insert(0, str(path))
    spec = importlib.util.find_spec("models.TimeLLM")
    if spec is None:
        raise SystemExit(f"{path} holds no models/TimeLLM.py")
    module = importlib.import_module("models.TimeLLM")
    _replace_loaders(module, loaded, "LlamaConfig", "LlamaModel", "LlamaTokenizer")
    configs = types.SimpleNamespace(
        task_name="long_term_forecast",
        seq_len=setting.seq_len,
        pred_len=setting.pred_len,
        d_ff=setting.d_ff,
        d_model=setting.d_model,
        n_heads=setting.num_heads,
        dropout=setting.dropout,
        enc_in=7,
        patch_len=16,
        stride=8,
        llm_model="LLAMA",
        llm_layers=setting.layers,
        llm_dim=loaded.model.config.hidden_size,
        prompt_domain=1,
        content=DESCRIPTION,
    )
    model = module.Model(configs, patch_len=16, stride=8)
    original = model.patch_embedding.forward
    model.patch_embedding.forward = lambda x: original(x.float())  # its cast to bf16 is written in

    return OneChannel(model, lambda x: model(x, None, None, None))


def _neuralforecast(setting: Setting, loaded: LoadedBackbone) -> nn.Module:
    """The `TimeLLM` of an installed neuralforecast: 1024 prototypes and weights of its own, fused attention."""
    module = importlib.import_module("neuralforecast.models.timellm")
    _replace_loaders(module, loaded, "AutoConfig", "AutoModel", "AutoTokenizer")
    model = module.TimeLLM(
        h=setting.pred_len,
        input_size=setting.seq_len,
        patch_len=setting.window.patch_len,
        stride=setting.window.stride,
        d_ff=setting.d_ff,
        d_llm=loaded.model.config.hidden_size,
        d_model=setting.d_model,
        n_heads=setting.num_heads,
        llm="in memory",
        prompt_prefix=DESCRIPTION,
        dropout=setting.dropout,
    )
    return OneChannel(model, lambda x: model({"insample_y": x}))


class OneChannel(nn.Module):
    """A model of several channels on windows of one: [batch, seq_len] to [batch, pred_len]."""

    def __init__(self, model: nn.Module, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, x: Tensor) -> Tensor:
        """Forecasts of windows."""
        return self.call(x[:, :, None])[:, :, 0]


def _replace_loaders(module: Any, loaded: LoadedBackbone, config: str, model: str, tokenizer: str) -> None:
    """Make the module's hub loaders, of these names, return the backbone in memory."""
    for loader, made in {config: loaded.model.config, model: loaded.model, tokenizer: loaded.tokenizer}.items():
        setattr(module, loader, types.SimpleNamespace(from_pretrained=lambda *a, made=made, **k: made))


def others(options: Any) -> list[str]:
    """Other implementations: the published code if a checkout is given, neuralforecast if it is installed."""
    installed = importlib.util.find_spec("neuralforecast") is not None
    return [*(["upstream"] if options.upstream else []), *(["neuralforecast"] if installed else [])]


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def environment() -> str:
    """The machine and the versions that the figures were measured on."""
    return (
        f"{platform.machine()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def parser(text: str | None) -> argparse.ArgumentParser:
    """Options that the benchmarks share."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--layers", type=int, default=Setting.layers)
    made.add_argument("--batch-size", type=int, default=Setting.batch_size)
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument(
        "--upstream",
        type=Path,
        help="a checkout of the published code, to be timed too (an installed neuralforecast always is)",
    )
    return made


def setting_of(options: Any) -> Setting:
    """The sizes that the options ask for."""
    return Setting(layers=options.layers, batch_size=options.batch_size)
