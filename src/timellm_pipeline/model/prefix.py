"""Run a backbone behind a prompt that needs no gradients.

In a causal backbone the prompt's states do not depend on the patches after it. So the shared part is run once, each
window's own part once a batch, both without gradients, and kept as keys and values; only the patch tokens are run
with gradients, behind them. Outputs and gradients are those of one full forward, for less than half the work and a
fraction of the memory. A backbone that looks both ways (BERT) takes the plain road: one full forward.

Which road a backbone can take is not guessed from its name but tried when it is loaded: see `choose_road`.
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

LayerStates = list[tuple[Tensor, Tensor]]  # keys and values a layer, each [batch or 1, heads, length, head width]
Road = Literal["prefix", "plain"]
RunPatches = Callable[[nn.Module, LayerStates, Tensor, Tensor], Tensor]
GROUPED_HEADS = "TRANSFORMERS_SDPA_FORCE_GQA"


class PrefixLayer(DynamicLayer):
    """A cache layer that puts fixed keys and values before those it is given, once, and stores nothing itself.

    It lets go of the fixed ones then: they need not be held beside the joined ones that the backward pass needs.
    """

    keys: Tensor | None
    values: Tensor | None

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The fixed states followed by the given ones, along the length."""
        assert self.keys is not None and self.values is not None, "a prefix is read once"
        batch = key_states.shape[0]
        keys = torch.cat([self.keys.expand(batch, -1, -1, -1), key_states], dim=-2)
        values = torch.cat([self.values.expand(batch, -1, -1, -1), value_states], dim=-2)
        self.keys = self.values = None
        return keys, values


class _Enough(Exception):  # noqa: N818 - no error
    """The last layer has its keys and values."""


class _LastLayer(DynamicLayer):
    """The cache layer after which a pass may stop: what the last layer makes of its keys and values is not read."""

    def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        super().update(*args, **kwargs)
        raise _Enough


def word_embeddings(backbone: Any) -> Float[Tensor, "vocabulary width"]:
    """The backbone's table of word embeddings."""
    weight: Tensor = backbone.get_input_embeddings().weight
    return weight


@contextmanager
def grouped_heads(device: torch.device) -> Iterator[None]:
    """On a CPU, let attention take grouped keys and values as they are.

    transformers copies them for each head where a mask is given, because GPU kernels need it. The CPU's does not:
    a third of the memory of a step, and 7 % of its time. The switch is an environment variable of transformers 5.23;
    older versions do not know it.
    """
    before = os.environ.get(GROUPED_HEADS)
    if device.type == "cpu":
        os.environ[GROUPED_HEADS] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(GROUPED_HEADS, None)
        else:
            os.environ[GROUPED_HEADS] = before


def token_positions(mask: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Position of each token, padding not counted, so that a padded row equals the same row unpadded."""
    return (mask.long().cumsum(dim=1) - 1).clamp_min(0)


@torch.no_grad()
def run_shared(backbone: nn.Module, ids: Int[Tensor, "1 shared"]) -> LayerStates:
    """Keys and values of the part that every window shares."""
    cache = DynamicCache(config=backbone.config)
    backbone(input_ids=ids, past_key_values=cache, use_cache=True)
    return [(layer.keys, layer.values) for layer in cache.layers]


@torch.no_grad()
def run_own(
    backbone: nn.Module, shared: LayerStates, ids: Int[Tensor, "batch own"], mask: Bool[Tensor, "batch own"]
) -> tuple[LayerStates, Bool[Tensor, "batch prompt"]]:
    """Keys and values of the whole prompt, and its mask, from the shared states and each window's own tokens."""
    batch, num_shared = ids.shape[0], shared[0][0].shape[-2]
    mask = torch.cat([mask.new_ones(batch, num_shared), mask], dim=1)
    cache = Cache(layers=[_growing(DynamicLayer(), *states, batch) for states in shared[:-1]])
    cache.layers.append(_growing(_LastLayer(), *shared[-1], batch))
    with suppress(_Enough):
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
    """Last hidden states of the patch tokens behind the prompt, with gradients. The list `prompt` is used up."""
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
    """`run_patches` through torch.compile, once for prompts of all lengths.

    Raises BackboneError when nothing can be compiled here.
    """
    try:
        torch.compile(torch.neg)(torch.ones(2))
    except Exception as error:  # no C++ compiler, no Triton: each has an error of its own
        raise BackboneError(
            f"torch.compile does not work here: {str(error).strip().splitlines()[0]}",
            where="training.compile",
            do="install a C++ compiler (on a GPU: Triton), or set training.compile=false",
        ) from error
    compiled = torch.compile(run_patches)

    def run(backbone: nn.Module, prompt: LayerStates, mask: Tensor, patches: Tensor) -> Tensor:
        for keys, values in prompt:
            torch._dynamo.mark_dynamic(keys, 2)  # said from the start: a length learned later would compile twice
            torch._dynamo.mark_dynamic(values, 2)
        torch._dynamo.mark_dynamic(mask, 1)
        hidden: Tensor = compiled(backbone, prompt, mask, patches)
        return hidden

    return run


def run_plain(
    backbone: Any,
    ids: Int[Tensor, "batch prompt"],
    mask: Bool[Tensor, "batch prompt"],
    patches: Float[Tensor, "batch patches width"],
) -> Float[Tensor, "batch patches width"]:
    """The same by one full forward over prompt and patches; the reference, and the road of two-way backbones."""
    words = backbone.get_input_embeddings()(ids).to(patches.dtype)
    mask = torch.cat([mask, mask.new_ones(patches.shape[:2])], dim=1)
    hidden: Tensor = backbone(
        inputs_embeds=torch.cat([words, patches], dim=1),
        attention_mask=mask.long(),
        position_ids=token_positions(mask),
    ).last_hidden_state
    return hidden[:, -patches.shape[1] :]


@torch.no_grad()
def choose_road(backbone: Any, name: str) -> Road:
    """`prefix` if the backbone gives the same states behind kept keys and values, else `plain`.

    Tried on six tokens and two patches: first that padding leaves the states alone, then that both roads agree.

    Raises:
        BackboneError: when padded and unpadded prompts give different states, so that a forecast would depend on
            the other windows of its batch.
    """
    weight = word_embeddings(backbone)
    ids = torch.arange(1, 7, device=weight.device)[None] % weight.shape[0]
    mask = torch.ones_like(ids, dtype=torch.bool)
    patches = weight[ids[:, :2]].clone()
    padded_ids = torch.cat([ids.new_zeros(1, 3), ids], dim=1)
    padded_mask = torch.cat([mask.new_zeros(1, 3), mask], dim=1)
    try:
        alone = run_plain(backbone, ids, mask, patches)
        padded = run_plain(backbone, padded_ids, padded_mask, patches)
    except (TypeError, ValueError) as error:
        raise BackboneError(
            f"the backbone `{name}` cannot be run on embedded tokens with a mask and positions: {error}",
            where="backbone.name",
            do="choose a decoder or encoder that takes inputs_embeds, attention_mask and position_ids",
        ) from error
    if not _close(alone, padded):
        raise BackboneError(
            f"the backbone `{name}` gives other states when its prompt is padded, mask and positions given",
            where="backbone.name",
            do="choose another backbone: with this one a forecast would depend on the other windows of its batch",
        )
    config = backbone.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None):
        return "plain"  # a window of attention may end inside a long prompt, which six tokens cannot show
    try:
        shared = run_shared(backbone, ids[:, :3])
        own = torch.cat([ids.new_zeros(1, 2), ids[:, 3:]], dim=1)
        states, whole = run_own(backbone, shared, own, torch.arange(5, device=ids.device)[None] >= 2)
        behind = run_patches(backbone, states, whole, patches)
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError):
        return "plain"  # keeps no keys and values
    return "prefix" if _close(alone, behind) else "plain"


def _growing(layer: DynamicLayer, keys: Tensor, values: Tensor, batch: int) -> DynamicLayer:
    """A cache layer that begins with the shared states, one copy a window without copying memory."""
    layer.keys, layer.values = keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1)
    layer.dtype, layer.device = keys.dtype, keys.device
    layer.is_initialized = True
    return layer


def _close(one: Tensor, other: Tensor) -> bool:
    tolerance = 1e-3 if one.dtype == torch.float32 else 6e-2
    scale = one.float().abs().max().clamp_min(1e-6)
    return bool((one.float() - other.float()).abs().max() <= tolerance * scale)
