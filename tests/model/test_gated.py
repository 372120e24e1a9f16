"""A feed-forward block that keeps fewer activations gives the same forecasts and the same gradients."""

import copy
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModel

from timellm_pipeline.model.gated import keep_less


def kept_bytes(model: nn.Module, states: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Output, and bytes of activations that autograd keeps."""
    storages: dict[int, int] = {}
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        hidden = model(inputs_embeds=states).last_hidden_state
    return hidden, sum(storages.values())


def test_less_is_kept_and_no_bit_changes(backbones: dict[str, Path]) -> None:
    """Saving memory must not cost faithfulness."""
    plain = AutoModel.from_pretrained(backbones["llama"]).eval().requires_grad_(False)
    changed = copy.deepcopy(plain)
    assert keep_less(changed) == 3
    found = []
    for model in (plain, changed):
        states = torch.linspace(-1, 1, 2 * 10 * 32).view(2, 10, 32).requires_grad_()
        hidden, kept = kept_bytes(model, states)
        hidden.square().sum().backward()
        found.append((hidden.detach(), states.grad, kept))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    wide = 3 * 2 * 10 * 64 * 4  # silu(gate) of three layers: batch 2, 10 tokens, 64 units, float32
    assert found[0][2] - found[1][2] == wide


def test_other_feed_forward_blocks_are_not_changed(backbones: dict[str, Path]) -> None:
    """A block with those four names and another activation would silently become another backbone."""
    llama = AutoModel.from_pretrained(backbones["llama"]).eval()
    for block in llama.layers:
        block.mlp.act_fn = nn.GELU()
    gpt2 = AutoModel.from_pretrained(backbones["gpt2"])
    assert keep_less(llama) == 0 and keep_less(gpt2) == 0
