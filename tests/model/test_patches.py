"""Patches: as many as the plan counts, and the published convolution."""

import pytest
import torch

from timellm_pipeline.model.network import Network
from timellm_pipeline.model.patches import PatchEmbedding, cut_into_patches
from timellm_pipeline.model.reprogramming import Prototypes
from timellm_pipeline.model.sizes import trainable_count, trainable_shapes
from timellm_pipeline.parameters import ModelParams, WindowParams


@pytest.mark.parametrize(
    ("seq_len", "patch_len", "stride"), [(256, 16, 8), (512, 16, 8), (48, 8, 4), (50, 16, 7), (16, 16, 1)]
)
def test_the_plan_counts_the_patches_that_the_model_cuts(seq_len: int, patch_len: int, stride: int) -> None:
    """A head for another number of patches fails at the first batch; a plan with another number is wrong."""
    window = torch.arange(float(seq_len))[None]
    patches = cut_into_patches(window, patch_len, stride)
    params = WindowParams(seq_len=seq_len, pred_len=4, patch_len=patch_len, stride=stride)
    assert patches.shape == (1, params.patches_per_window, patch_len)
    assert torch.equal(patches[0, 0], window[0, :patch_len])
    assert patches[0, -1, -1] == seq_len - 1  # the repeated last value
    assert PatchEmbedding(patch_len, stride, 5, 0.0)(window).shape == (1, params.patches_per_window, 5)


def test_free_prototypes_start_as_a_map_of_the_vocabulary() -> None:
    """Initialised elsewhere, patches would be expressed in vectors far from any word."""
    torch.manual_seed(0)
    table = torch.randn(2000, 16) + torch.linspace(-1, 1, 16)
    free, mapped = Prototypes(400, table, "free"), Prototypes(400, table, "vocabulary")
    one, other = free(table).detach(), mapped(table).detach()
    assert one.shape == other.shape == (400, 16)
    assert torch.allclose(one.std(0), other.std(0), rtol=0.25)


def test_the_vocabulary_map_is_the_published_one() -> None:
    """`addmm` without the two transposes must be the same linear map."""
    torch.manual_seed(0)
    table = torch.randn(50, 6)
    prototypes = Prototypes(4, table, "vocabulary")
    linear = torch.nn.Linear(50, 4)
    linear.weight, linear.bias = prototypes.weight, prototypes.bias
    assert torch.allclose(prototypes(table), linear(table.T).T, atol=1e-6)


def test_the_arithmetic_of_trainable_weights_is_right() -> None:
    """The space for checkpoints is checked before the model exists."""
    window, params = WindowParams(seq_len=48, pred_len=12), ModelParams(num_prototypes=30, d_ff=8)
    network = Network(window, params, None)
    assert trainable_count(window, params, None) == network.count_parameters()["trainable"]
    shapes = {name: tuple(weight.shape) for name, weight in network.trainables().items()}
    assert shapes == trainable_shapes(window, params, None)
