"""Time-LLM: forecast a window by speaking its patches to a frozen language model.

    window [B, seq_len] -> instance normalisation -> patches [B, P, d_model]
      -> reprogramming by prototypes [B, P, width] -> frozen backbone behind the prompt [B, P, width]
      -> first d_ff units of each patch, flattened [B, d_ff * P] -> linear head [B, pred_len] -> denormalised

Source: Jin et al., "Time-LLM: Time Series Forecasting by Reprogramming Large Language Models", ICLR 2024.
docs/differences.md says where this departs from the published code, and why.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from timellm_pipeline.diagnosis import diagnosed
from timellm_pipeline.errors import BackboneError, ModelError, PromptError
from timellm_pipeline.model.backbone import BackboneSource, LoadedBackbone
from timellm_pipeline.model.compute import Compute, Precision, compute_as_trained, resolve_compute
from timellm_pipeline.model.future import forecast_frame
from timellm_pipeline.model.gated import keep_less
from timellm_pipeline.model.patches import PatchEmbedding
from timellm_pipeline.model.prefix import (
    LayerStates,
    Road,
    RunPatches,
    choose_road,
    compiled_run_patches,
    grouped_heads,
    run_own,
    run_patches,
    run_plain,
    run_shared,
    word_embeddings,
)
from timellm_pipeline.model.prompt import PromptTokens, PromptWriter
from timellm_pipeline.model.reprogramming import KeysValues, Prototypes, Reprogramming
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.model.upstream import from_upstream_names
from timellm_pipeline.model.weights import put_weights
from timellm_pipeline.parameters import BackboneParams, ModelParams, PromptParams, WindowParams

if TYPE_CHECKING:
    import pandas as pd

EPSILON = 1e-5  # of the instance normalisation


class TimeLLM(nn.Module):
    """The trainable parts around a loaded backbone.

    Args:
        window, prompt, model: the parameter groups of those names.
        backbone: the frozen language model, or None for the ablation without one (Tan et al. 2024).
        tokenizer: its fast tokenizer.
        description: what the prompt says of the series.

    Raises:
        PromptError: when prompt and patches are longer than the backbone has positions.
        BackboneError: when the backbone's states depend on padding.
    """

    def __init__(
        self,
        window: WindowParams,
        prompt: PromptParams,
        model: ModelParams,
        backbone: nn.Module | None,
        tokenizer: Any = None,
        description: str = "",
    ) -> None:
        super().__init__()
        self.window, self.prompt, self.params, self.description = window, prompt, model, description
        self.writer: PromptWriter | None = None
        self.road: Road = "plain"
        if backbone is None:
            width, embeddings = model.d_ff, torch.randn(model.num_prototypes, model.d_ff)
        else:
            embeddings = word_embeddings(backbone)
            width = embeddings.shape[1]
            self.writer = PromptWriter(tokenizer, prompt, window, description)
            self.road = choose_road(backbone, type(backbone).__name__)
            _refuse_long_prompt(self.writer, window, backbone)
        if model.d_ff > width:
            raise ModelError(
                f"the head reads the first {model.d_ff} hidden units; the backbone has {width}",
                where="model.d_ff",
                do=f"lower model.d_ff to {width} or less",
            )
        self.patch_embedding = PatchEmbedding(window.patch_len, window.stride, model.d_model, model.dropout)
        self.prototypes = Prototypes(model.num_prototypes, embeddings, "free" if backbone is None else model.prototypes)
        self.reprogramming = Reprogramming(model.d_model, model.num_heads, model.d_ff, width, model.dropout)
        # Before the linear layer: after it, as in the published code, dropout would blank forecast steps themselves.
        self.head_dropout = nn.Dropout(model.dropout)
        self.head = nn.Linear(model.d_ff * window.patches_per_window, window.pred_len)
        self.backbone = backbone
        self.saved: SavedModel | None = None  # the folder it came from, with scaler and channels
        self.compute: Compute | None = None
        if backbone is not None:
            backbone.requires_grad_(False)
            keep_less(backbone)
        self._compiled: RunPatches | None = None
        self._shared: tuple[Any, LayerStates] | None = None
        self._prototype_states: tuple[Any, KeysValues] | None
        self.train(self.training)

    @classmethod
    def around(
        cls,
        window: WindowParams,
        prompt: PromptParams,
        model: ModelParams,
        loaded: LoadedBackbone,
        description: str,
    ) -> "TimeLLM":
        """A fresh model around a loaded backbone."""
        return cls(window, prompt, model, loaded.model, loaded.tokenizer, description)

    @classmethod
    @diagnosed()
    def load(cls, folder: str | Path, backbone: str | None = None, precision: Precision | None = None) -> "TimeLLM":
        """A trained model from its folder (that of a version will do), on the GPU if there is one, ready to forecast.

        Args:
            backbone: folder or hub id of the backbone, when it is not where it was in training.
            precision: `no`, `bf16` or `fp16`; None: as in training where this device has it.

        Raises ModelError for a folder that is damaged or holds no model, BackboneError for a backbone that is missing.
        """
        saved = SavedModel.read(Path(folder))
        place = None if backbone is None else BackboneParams(name=backbone)
        compute = compute_as_trained(saved.config.precision) if precision is None else resolve_compute(precision)
        return saved.load(BackboneSource(), compute, place)

    @diagnosed()
    def save(self, folder: str | Path) -> None:
        """Write the model into a new folder, complete or not at all.

        Raises ModelError for a folder that exists, for weights that are not finite numbers, and for a model that was
        not loaded from a folder: it has no scaler and no channels.
        """
        saved = self._saved()
        weights = {name: weight.detach().cpu().clone() for name, weight in self.trainables().items()}
        TrainedModel(saved.config, weights, saved.scaler, saved.intervals()).publish(Path(folder))

    @diagnosed()
    def forecast(
        self, frame: "pd.DataFrame", origins: int = 1, levels: Iterable[int] = (80, 95), batch_size: int = 64
    ) -> "pd.DataFrame":
        """What comes after the last row of a table, for every channel, in its own units.

        Args:
            frame: time stamps and one column a channel, or long: time stamp, `channel`, `value` (or ds, unique_id, y).
            origins: how many forecasts; more than 1 go back from the last row, `pred_len` rows each.
            levels: prediction intervals in percent, of 50, 60, 70, 80, 90, 95, 98, 99.

        Returns:
            `channel, window_end, step, timestamp, forecast`, `lower_L`, `upper_L` for each level if the model was
            calibrated, and `window_filled`: whether rows of the window were filled in.

        Raises SeriesError for a table that this model cannot go on with, ModelError for a model without a scaler.
        """
        self._saved()
        return forecast_frame(self, frame, origins, levels, batch_size)

    def _saved(self) -> SavedModel:
        if self.saved is None:
            raise ModelError(
                "this model was built, not loaded: it has no scaler and no channels",
                where="TimeLLM",
                do="train it with `kedro run`, or load a trained one: TimeLLM.load(folder)",
            )
        return self.saved

    def train(self, mode: bool = True) -> "TimeLLM":
        """Training mode for the trainable parts alone: the frozen backbone never drops anything."""
        super().train(mode)
        # A fused optimizer changes weights without telling autograd, so what was made of them is made again.
        self._prototype_states = None
        if self.backbone is not None:
            self.backbone.eval()
        return self

    def compile_training(self) -> None:
        """Run training's way through the backbone compiled. Forecasts without gradients stay as they are.

        Raises BackboneError when nothing can be compiled here, or for a backbone that takes the plain road.
        """
        if self.road != "prefix":
            raise BackboneError(
                "this backbone does not run behind a kept prompt, and nothing else is compiled",
                where="training.compile",
                do="set training.compile=false, or choose a causal backbone",
            )
        self._compiled = compiled_run_patches()

    def trainables(self) -> dict[str, nn.Parameter]:
        """The weights that training changes, by name; the backbone's are not among them."""
        return {name: weight for name, weight in self.named_parameters() if not name.startswith("backbone.")}

    def load_trainables(self, weights: dict[str, Tensor]) -> None:
        """Put saved weights in place. Raises ModelError naming the weights that are missing, extra or misshapen."""
        put_weights(self.trainables(), weights)

    def load_upstream_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put a checkpoint of the published code in place (needs `model.prototypes: vocabulary`).

        Raises ModelError naming the weights that are missing, unknown or of another shape.
        """
        self.load_trainables(from_upstream_names(state))

    def prompts_for(self, windows: Float[np.ndarray, "batch seq_len"]) -> PromptTokens | None:
        """The prompt tokens of a batch, made on the CPU; None without a language model."""
        return None if self.writer is None else self.writer.tokens(windows)

    def forward(
        self, x: Float[Tensor, "batch seq_len"], prompts: PromptTokens | None = None
    ) -> Float[Tensor, "batch pred_len"]:
        """Forecasts in scaled units, each a function of its own window alone.

        Args:
            x: windows in scaled units.
            prompts: their prompt tokens if made ahead (`prompts_for`), else they are made here.
        """
        if prompts is None:
            prompts = self.prompts_for(x.detach().float().cpu().numpy())
        mean, deviation = _level_and_spread(x)
        patches = self.patch_embedding((x - mean) / deviation)  # (B, P, d_model)
        words = self.reprogramming(patches, self._keys_values())  # (B, P, width)
        hidden = self._behind_prompt(words, prompts)[..., : self.params.d_ff].float()  # (B, P, d_ff)
        flat = hidden.transpose(1, 2).flatten(1)  # unit by unit, patches within, as published
        return self.head(self.head_dropout(flat)).float() * deviation + mean

    def prototype_attention(self, x: Float[Tensor, "batch seq_len"]) -> Float[Tensor, "batch patches prototypes"]:
        """How much of each patch's attention each prototype gets, the mean over heads."""
        mean, deviation = _level_and_spread(x)
        return self.reprogramming.attention(self.patch_embedding((x - mean) / deviation), self._keys_values())

    def _behind_prompt(self, words: Tensor, prompts: PromptTokens | None) -> Tensor:
        """The backbone's last states of the patch tokens; the tokens themselves without a language model."""
        if self.backbone is None or self.writer is None:
            return words
        assert prompts is not None
        weight = word_embeddings(self.backbone)
        prompts = prompts.to(weight.device)
        words = words.to(weight.dtype)
        shared_ids = torch.tensor([self.writer.shared_ids[: prompts.num_shared]], device=weight.device)
        with grouped_heads(weight.device):
            if self.road == "plain":
                batch = words.shape[0]
                ids = torch.cat([shared_ids.expand(batch, -1), prompts.ids], dim=1)
                mask = torch.cat([prompts.mask.new_ones(batch, prompts.num_shared), prompts.mask], dim=1)
                return run_plain(self.backbone, ids, mask, words)
            shared = self._shared_states(prompts.num_shared)
            states, mask = run_own(self.backbone, shared, prompts.ids, prompts.mask)
            run = self._compiled if self._compiled is not None and torch.is_grad_enabled() else run_patches
            return run(self.backbone, states, mask, words)

    def _shared_states(self, num_shared: int) -> LayerStates:
        """Keys and values of the shared part: run once for each device and type, cut where less is shared."""
        assert self.backbone is not None and self.writer is not None
        weight = word_embeddings(self.backbone)
        key = (weight.device, weight.dtype, _autocast_dtype(weight.device))
        if self._shared is None or self._shared[0] != key:
            ids = torch.tensor([self.writer.shared_ids], device=weight.device)
            self._shared = (key, run_shared(self.backbone, ids))
        states = self._shared[1]
        if num_shared == len(self.writer.shared_ids):
            return states
        return [(keys[:, :, :num_shared], values[:, :, :num_shared]) for keys, values in states]

    def _keys_values(self) -> KeysValues:
        """Prototypes as keys and values: made each step in training, once while weights stay as they are otherwise."""
        if torch.is_grad_enabled():
            return self._make_keys_values()
        weights = [*self.prototypes.parameters(), *self.reprogramming.parameters()]
        key = (
            _autocast_dtype(weights[0].device),
            [(weight.data_ptr(), weight._version) for weight in weights],
        )
        if self._prototype_states is None or self._prototype_states[0] != key:
            self._prototype_states = (key, self._make_keys_values())
        return self._prototype_states[1]

    def _make_keys_values(self) -> KeysValues:
        embeddings = None if self.backbone is None else word_embeddings(self.backbone)
        return self.reprogramming.keys_values(self.prototypes(embeddings))


def _level_and_spread(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each window, for its instance normalisation."""
    return x.mean(dim=1, keepdim=True), torch.sqrt(x.var(dim=1, keepdim=True, unbiased=False) + EPSILON)


def _autocast_dtype(device: torch.device) -> torch.dtype | None:
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None


def _refuse_long_prompt(writer: PromptWriter, window: WindowParams, backbone: nn.Module) -> None:
    positions = getattr(backbone.config, "max_position_embeddings", None)
    needed = writer.longest_probe + window.patches_per_window
    if positions is not None and needed > positions:
        raise PromptError(
            f"prompt ({writer.longest_probe} tokens) and patches ({window.patches_per_window}) need {needed} "
            f"positions; the backbone has {positions}",
            where="prompt.description, window.stride",
            do="shorten prompt.description, or raise window.stride so that a window has fewer patches",
        )
