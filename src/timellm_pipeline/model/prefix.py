"""Run a backbone on patches after a prompt, with a key-value cache of the prompt.

In a causal backbone the hidden states of the prompt do not depend on the patches after it. The shared part of the
prompt is therefore computed once, the part of each window once per batch, both without gradients, and both are kept in
a key-value cache. Only the patches are computed with gradients. Outputs and gradients equal those of one full forward
pass, with less than half of the computation and a fraction of the memory. A bidirectional backbone (BERT) needs one
full forward pass.

`choose_path` tests which of the two a backbone supports when it is loaded; the name of the backbone is not used.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from timellm_pipeline.errors import BackboneError
from timellm_pipeline.model.sharding import is_shared

LayerStates = list[tuple[Tensor, Tensor]]  # keys and values per layer, each [batch or 1, heads, length, head width]
BackbonePath = Literal["prefix", "full"]
RunPatches = Callable[[nn.Module, LayerStates, Tensor, Tensor], Tensor]
GROUPED_HEADS = "TRANSFORMERS_SDPA_FORCE_GQA"


class PrefixLayer(DynamicLayer):
    """A cache layer that prepends fixed keys and values to new ones, once.

    It then releases the fixed ones and stores nothing, because the backward pass needs only the concatenated ones.
    """

    keys: Tensor | None
    values: Tensor | None

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The fixed keys and values concatenated with the new ones, along the length."""
        assert self.keys is not None and self.values is not None, "a prefix can be used only once"
        batch = key_states.shape[0]
        keys = torch.cat([self.keys.expand(batch, -1, -1, -1), key_states], dim=-2)
        values = torch.cat([self.values.expand(batch, -1, -1, -1), value_states], dim=-2)
        self.keys = self.values = None
        return keys, values


class _StopForward(Exception):  # noqa: N818 - not an error
    """Raised when the last layer has its keys and values, to stop the forward pass."""


class _LastLayer(DynamicLayer):
    """Cache of the last layer. It stops the forward pass, because the output of the last layer is not needed."""

    def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        super().update(*args, **kwargs)
        raise _StopForward


def word_embeddings(backbone: Any) -> Float[Tensor, "vocabulary width"]:
    """Input embedding matrix of the backbone."""
    weight: Tensor = backbone.get_input_embeddings().weight
    return weight


@contextmanager
def grouped_heads(device: torch.device) -> Iterator[None]:
    """On a CPU, let attention use grouped keys and values without copies.

    If there is a mask, transformers copies them for each head, because GPU kernels need copies. The CPU kernel does
    not: this saves a third of the memory of a step, and 7 % of its time. The setting is an environment variable of
    transformers 5.23; older versions ignore it.
    """
    previous = os.environ.get(GROUPED_HEADS)
    if device.type == "cpu":
        os.environ[GROUPED_HEADS] = "1"
    try:
        yield
    finally:
        if previous is None:
            os.environ.pop(GROUPED_HEADS, None)
        else:
            os.environ[GROUPED_HEADS] = previous


def token_positions(mask: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Position of each token without padding, so that padding does not change the result of a row."""
    return (mask.long().cumsum(dim=1) - 1).clamp_min(0)


@torch.no_grad()
def run_shared(backbone: nn.Module, ids: Int[Tensor, "1 shared"]) -> LayerStates:
    """Keys and values of the shared part of the prompt, per layer."""
    cache = DynamicCache(config=backbone.config)
    backbone(input_ids=ids, past_key_values=cache, use_cache=True)
    return [(layer.keys, layer.values) for layer in cache.layers]


@torch.no_grad()
def run_own(
    backbone: nn.Module, shared: LayerStates, ids: Int[Tensor, "batch own"], mask: Bool[Tensor, "batch own"]
) -> tuple[LayerStates, Bool[Tensor, "batch prompt"]]:
    """Keys and values of the whole prompt, and its attention mask.

    Args:
        backbone: the frozen language model.
        shared: keys and values of the shared part (`run_shared`).
        ids: token ids of each window's own part, padded on the left.
        mask: False for padding.
    """
    batch, num_shared = ids.shape[0], shared[0][0].shape[-2]
    mask = torch.cat([mask.new_ones(batch, num_shared), mask], dim=1)
    cache = Cache(layers=[_prefilled(DynamicLayer(), *states, batch) for states in shared[:-1]])
    # An exception in the middle of a forward pass would leave the last layer gathered, which FSDP2 does not support.
    last = DynamicLayer() if is_shared(backbone) else _LastLayer()
    cache.layers.append(_prefilled(last, *shared[-1], batch))
    with suppress(_StopForward):
        backbone(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=token_positions(mask)[:, num_shared:],
            past_key_values=cache,
            use_cache=True,
        )
    return [(layer.keys, layer.values) for layer in cache.layers], mask


def run_patches(
    backbone: nn.Module,
    prompt: LayerStates,
    mask: Bool[Tensor, "batch prompt"],
    patches: Float[Tensor, "batch patches width"],
) -> Float[Tensor, "batch patches width"]:
    """Last hidden states of the patches after the prompt, with gradients.

    Args:
        backbone: the frozen language model.
        prompt: keys and values of the prompt per layer; the list is emptied.
        mask: attention mask of the prompt.
        patches: embedded patches.
    """
    mask = torch.cat([mask, mask.new_ones(patches.shape[:2])], dim=1)
    cache = Cache(layers=[PrefixLayer(*prompt.pop(0)) for _ in range(len(prompt))])
    hidden: Tensor = backbone(
        inputs_embeds=patches,
        attention_mask=mask.long(),
        position_ids=token_positions(mask)[:, -patches.shape[1] :],
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return hidden


def compiled_run_patches() -> RunPatches:
    """`run_patches` compiled with torch.compile, once for prompts of all lengths.

    Raises BackboneError if torch.compile does not work on this machine.
    """
    try:
        torch.compile(torch.neg)(torch.ones(2))
    except Exception as error:  # exception types differ: no C++ compiler, no Triton
        raise BackboneError(
            f"torch.compile does not work on this machine: {str(error).strip().splitlines()[0]}",
            where="training.compile",
            do="install a C++ compiler (on a GPU: Triton), or set training.compile=false",
        ) from error
    compiled = torch.compile(run_patches)

    def run(backbone: nn.Module, prompt: LayerStates, mask: Tensor, patches: Tensor) -> Tensor:
        for keys, values in prompt:
            torch._dynamo.mark_dynamic(keys, 2)  # otherwise a second length would cause a second compilation
            torch._dynamo.mark_dynamic(values, 2)
        torch._dynamo.mark_dynamic(mask, 1)
        hidden: Tensor = compiled(backbone, prompt, mask, patches)
        return hidden

    return run


def run_full(
    backbone: Any,
    ids: Int[Tensor, "batch prompt"],
    mask: Bool[Tensor, "batch prompt"],
    patches: Float[Tensor, "batch patches width"],
) -> Float[Tensor, "batch patches width"]:
    """Last hidden states of the patches by one full forward pass over prompt and patches.

    This is the reference for `run_patches`, and the only path for bidirectional backbones.
    """
    prompt = backbone.get_input_embeddings()(ids).to(patches.dtype)
    mask = torch.cat([mask, mask.new_ones(patches.shape[:2])], dim=1)
    hidden: Tensor = backbone(
        inputs_embeds=torch.cat([prompt, patches], dim=1),
        attention_mask=mask.long(),
        position_ids=token_positions(mask),
    ).last_hidden_state
    return hidden[:, -patches.shape[1] :]


@torch.no_grad()
def choose_path(backbone: Any, name: str) -> BackbonePath:
    """`prefix` if the backbone gives the same hidden states with a key-value cache of the prompt, otherwise `full`.

    Tested with six tokens and two patches: first that padding does not change the states, then that both paths agree.

    Args:
        backbone: the frozen language model.
        name: its name in error messages.

    Raises:
        BackboneError: if padded and unpadded prompts give different states, so that a forecast would depend on the
            other windows of its batch.
    """
    weight = word_embeddings(backbone)
    ids = torch.arange(1, 7, device=weight.device)[None] % weight.shape[0]
    mask = torch.ones_like(ids, dtype=torch.bool)
    patches = weight[ids[:, :2]].clone()
    padded_ids = torch.cat([ids.new_zeros(1, 3), ids], dim=1)
    padded_mask = torch.cat([mask.new_zeros(1, 3), mask], dim=1)
    try:
        unpadded = run_full(backbone, ids, mask, patches)
        padded = run_full(backbone, padded_ids, padded_mask, patches)
    except (TypeError, ValueError) as error:
        raise BackboneError(
            f"the backbone `{name}` does not accept embeddings with an attention mask and positions: {error}",
            where="backbone.name",
            do="choose a decoder or encoder that accepts inputs_embeds, attention_mask and position_ids",
        ) from error
    if not _close(unpadded, padded):
        raise BackboneError(
            f"the hidden states of the backbone `{name}` depend on padding, despite attention mask and positions",
            where="backbone.name",
            do="choose another backbone: with this one a forecast would depend on the other windows of its batch",
        )
    config = backbone.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None):
        return "full"  # an attention window may end inside a long prompt, which six tokens cannot test
    try:
        shared = run_shared(backbone, ids[:, :3])
        own = torch.cat([ids.new_zeros(1, 2), ids[:, 3:]], dim=1)
        states, prompt_mask = run_own(backbone, shared, own, torch.arange(5, device=ids.device)[None] >= 2)
        cached = run_patches(backbone, states, prompt_mask, patches)
    except torch.OutOfMemoryError:  # of one worker alone: it would take another path than the others
        raise
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError):
        return "full"  # does not support a key-value cache
    return "prefix" if _close(unpadded, cached) else "full"


def _prefilled(layer: DynamicLayer, keys: Tensor, values: Tensor, batch: int) -> DynamicLayer:
    """A cache layer that starts with the shared keys and values, expanded to the batch without copying memory."""
    layer.keys, layer.values = keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1)
    layer.dtype, layer.device = keys.dtype, keys.device
    layer.is_initialized = True
    return layer


def _close(expected: Tensor, actual: Tensor) -> bool:
    tolerance = 1e-3 if expected.dtype == torch.float32 else 6e-2
    scale = expected.float().abs().max().clamp_min(1e-6)
    return bool((expected.float() - actual.float()).abs().max() <= tolerance * scale)
