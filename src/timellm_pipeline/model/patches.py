"""Split a window into overlapping patches and embed them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class PatchEmbedding(nn.Module):
    """Patch embedding: pad a window with its last value `stride` times, split it into patches, apply a convolution.

    The convolution covers three neighbouring patches with circular padding, so the first patch depends on the last
    one. This is unchanged because the published weights were trained this way.

    Source: Time-LLM (Jin et al. 2024), after PatchTST (Nie et al. 2023).
    """

    def __init__(self, patch_len: int, stride: int, d_model: int, dropout: float) -> None:
        super().__init__()
        self.patch_len, self.stride = patch_len, stride
        self.conv = nn.Conv1d(patch_len, d_model, kernel_size=3, padding=1, padding_mode="circular", bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_in", nonlinearity="leaky_relu")
        self.dropout = nn.Dropout(dropout)

    def forward(self, window: Float[Tensor, "batch seq_len"]) -> Float[Tensor, "batch patches d_model"]:
        """Embedded patches, `(seq_len - patch_len) // stride + 2` per window."""
        patches = cut_into_patches(window, self.patch_len, self.stride)
        return self.dropout(self.conv(patches.transpose(1, 2)).transpose(1, 2))


def cut_into_patches(
    window: Float[Tensor, "batch seq_len"], patch_len: int, stride: int
) -> Float[Tensor, "batch patches patch_len"]:
    """Patches of each window, padded at the end by repeating the last value `stride` times."""
    padded: Tensor = F.pad(window.unsqueeze(1), (0, stride), mode="replicate").squeeze(1)
    return torch.Tensor.unfold(padded, -1, patch_len, stride)
