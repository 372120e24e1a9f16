"""The Time-LLM network: maps a window and its prompt through a frozen language model to a correction of a forecast.

    window [B, seq_len] -> instance normalisation -> patches [B, P, d_model]
      -> reprogramming by prototypes [B, P, width] -> frozen backbone after the prompt [B, P, width]
      -> first d_ff units of each patch, flattened [B, d_ff * P] -> linear head [B, pred_len] -> times the deviation

The forecast is the linear part plus the output. Without a linear part (`model.linear: none`) it is the mean of the
window plus the output, which is the published denormalisation.

The module does not depend on files, tables or tokenizers, and does not choose a device.

Source: Jin et al., "Time-LLM: Time Series Forecasting by Reprogramming Large Language Models", ICLR 2024.
docs/differences.md lists the differences from the published code, with reasons.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from timellm_pipeline.errors import BackboneError, ModelError
from timellm_pipeline.model.gated import keep_less
from timellm_pipeline.model.patches import PatchEmbedding
from timellm_pipeline.model.prefix import (
    BackbonePath,
    LayerStates,
    RunPatches,
    choose_path,
    compiled_run_patches,
    grouped_heads,
    run_full,
    run_own,
    run_patches,
    run_shared,
    word_embeddings,
)
from timellm_pipeline.model.prompt import PromptTokens
from timellm_pipeline.model.reprogramming import KeysValues, Prototypes, Reprogramming
from timellm_pipeline.model.statistics import EPSILON
from timellm_pipeline.model.weights import put_weights
from timellm_pipeline.parameters import ModelParams, WindowParams


class Network(nn.Module):
    """The trainable layers with a frozen backbone.

    Args:
        window, model: the parameter groups with these names.
        backbone: the frozen language model, or None for the ablation without one (Tan et al. 2024).
        shared_ids: token ids that every prompt starts with.

    Raises:
        BackboneError: if the hidden states of the backbone depend on padding.
        ModelError: if `model.d_ff` is larger than the hidden size of the backbone.
    """

    def __init__(
        self, window: WindowParams, model: ModelParams, backbone: nn.Module | None, shared_ids: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.d_ff, self.shared_ids = model.d_ff, list(shared_ids)
        self.backbone_path: BackbonePath = "full"
        if backbone is None:
            width, embeddings = model.d_ff, torch.randn(model.num_prototypes, model.d_ff)
        else:
            embeddings = word_embeddings(backbone)
            width = embeddings.shape[1]
            self.backbone_path = choose_path(backbone, type(backbone).__name__)
        if model.d_ff > width:
            raise ModelError(
                f"the head reads the first {model.d_ff} hidden units; the backbone has {width}",
                where="model.d_ff",
                do=f"lower model.d_ff to {width} or less",
            )
        self.patch_embedding = PatchEmbedding(window.patch_len, window.stride, model.d_model, model.dropout)
        self.prototypes = Prototypes(model.num_prototypes, embeddings, "free" if backbone is None else model.prototypes)
        self.reprogramming = Reprogramming(model.d_model, model.num_heads, model.d_ff, width, model.dropout)
        # Dropout before the linear layer: after it, as in the published code, it would set forecast steps to zero.
        self.head_dropout = nn.Dropout(model.dropout)
        self.head = nn.Linear(model.d_ff * window.patches_per_window, window.pred_len)
        if model.linear != "none":  # a correction starts as no correction
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
        self.backbone = backbone
        if backbone is not None:
            backbone.requires_grad_(False)
            keep_less(backbone)
        self._compiled: RunPatches | None = None
        self._shared: tuple[Any, LayerStates] | None = None
        self._prototype_states: tuple[Any, KeysValues] | None
        self.train(self.training)

    def train(self, mode: bool = True) -> "Network":
        """The network in training mode. The frozen backbone stays in evaluation mode, without dropout."""
        super().train(mode)
        # A fused optimizer does not increment the version of the weights it changes, so the cache is cleared here.
        self._prototype_states = None
        if self.backbone is not None:
            self.backbone.eval()
        return self

    def compile_training(self) -> None:
        """Compile the forward pass of the backbone for training. Forecasts without gradients are not compiled.

        Raises BackboneError if torch.compile does not work, or if the backbone needs one full forward pass.
        """
        if self.backbone_path != "prefix":
            raise BackboneError(
                "this backbone does not support a key-value cache of the prompt, which training.compile needs",
                where="training.compile",
                do="set training.compile=false, or choose a causal backbone",
            )
        self._compiled = compiled_run_patches()

    def trainables(self) -> dict[str, nn.Parameter]:
        """Trainable weights by name, without those of the backbone."""
        return {name: weight for name, weight in self.named_parameters() if not name.startswith("backbone.")}

    def load_trainables(self, weights: Mapping[str, Tensor]) -> None:
        """Copy saved weights into the network. Raises ModelError for missing or unknown weights or another shape."""
        put_weights(self.trainables(), weights)

    def count_parameters(self) -> dict[str, int]:
        """Number of `trainable` and `frozen` weights."""
        backbone: Any = self.backbone
        return {
            "trainable": sum(weight.numel() for weight in self.trainables().values()),
            "frozen": 0 if backbone is None else backbone.num_parameters(),  # counts packed 4-bit weights correctly
        }

    def forward(
        self, x: Float[Tensor, "batch seq_len"], prompts: PromptTokens | None = None
    ) -> Float[Tensor, "batch pred_len"]:
        """Corrections [batch, pred_len] in scaled units. Each depends only on its own window.

        Args:
            x: windows [batch, seq_len] in scaled units.
            prompts: prompt tokens of the windows; None without a language model.
        """
        mean, deviation = _mean_and_deviation(x)
        patches = self.patch_embedding((x - mean) / deviation)  # (B, P, d_model)
        reprogrammed = self.reprogramming(patches, self._keys_values())  # (B, P, width)
        hidden = self._run_backbone(reprogrammed, prompts)[..., : self.d_ff].float()  # (B, P, d_ff)
        flat = hidden.transpose(1, 2).flatten(1)  # ordered by unit, then by patch, as in the published code
        return self.head(self.head_dropout(flat)).float() * deviation

    def prototype_attention(self, x: Float[Tensor, "batch seq_len"]) -> Float[Tensor, "batch patches prototypes"]:
        """Attention weights from patches to prototypes, averaged over heads. The weights of a patch sum to 1.

        Args:
            x: windows [batch, seq_len] in scaled units.
        """
        mean, deviation = _mean_and_deviation(x)
        return self.reprogramming.attention(self.patch_embedding((x - mean) / deviation), self._keys_values())

    def _run_backbone(self, patches: Tensor, prompts: PromptTokens | None) -> Tensor:
        """Last hidden states of the patches after the prompt; the patches themselves without a language model."""
        if self.backbone is None:
            return patches
        assert prompts is not None
        weight = word_embeddings(self.backbone)
        prompts = prompts.to(weight.device)
        patches = patches.to(weight.dtype)
        shared_ids = torch.tensor([self.shared_ids[: prompts.num_shared]], device=weight.device)
        with grouped_heads(weight.device):
            if self.backbone_path == "full":
                batch = patches.shape[0]
                ids = torch.cat([shared_ids.expand(batch, -1), prompts.ids], dim=1)
                mask = torch.cat([prompts.mask.new_ones(batch, prompts.num_shared), prompts.mask], dim=1)
                return run_full(self.backbone, ids, mask, patches)
            shared = self._shared_states(prompts.num_shared)
            states, mask = run_own(self.backbone, shared, prompts.ids, prompts.mask)
            run = self._compiled if self._compiled is not None and torch.is_grad_enabled() else run_patches
            return run(self.backbone, states, mask, patches)

    def _shared_states(self, num_shared: int) -> LayerStates:
        """Keys and values of the first `num_shared` prompt tokens, cached per device and dtype."""
        assert self.backbone is not None
        weight = word_embeddings(self.backbone)
        key = (weight.device, weight.dtype, _autocast_dtype(weight.device))
        if self._shared is None or self._shared[0] != key:
            ids = torch.tensor([self.shared_ids], device=weight.device)
            self._shared = (key, run_shared(self.backbone, ids))
        states = self._shared[1]
        if num_shared == len(self.shared_ids):
            return states
        return [(keys[:, :, :num_shared], values[:, :, :num_shared]) for keys, values in states]

    def _keys_values(self) -> KeysValues:
        """Keys and values of the prototypes: computed each step in training, cached per weights without gradients."""
        if torch.is_grad_enabled():
            return self._compute_keys_values()
        weights = [*self.prototypes.parameters(), *self.reprogramming.parameters()]
        key = (
            _autocast_dtype(weights[0].device),
            [(weight.data_ptr(), weight._version) for weight in weights],
        )
        if self._prototype_states is None or self._prototype_states[0] != key:
            self._prototype_states = (key, self._compute_keys_values())
        return self._prototype_states[1]

    def _compute_keys_values(self) -> KeysValues:
        embeddings = None if self.backbone is None else word_embeddings(self.backbone)
        return self.reprogramming.keys_values(self.prototypes(embeddings))


def _mean_and_deviation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each window [batch, 1], for instance normalisation."""
    return x.mean(dim=1, keepdim=True), torch.sqrt(x.var(dim=1, keepdim=True, unbiased=False) + EPSILON)


def _autocast_dtype(device: torch.device) -> torch.dtype | None:
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
