"""Reprogramming: cross-attention that maps patches to the embedding space of the backbone through prototypes."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

KeysValues = tuple[Float[Tensor, "heads prototypes d_ff"], Float[Tensor, "heads prototypes d_ff"]]
ROWS_AT_ONCE = 64  # prototypes initialised at a time: bounds memory, does not change the result


class Prototypes(nn.Module):
    """`num_prototypes` vectors in the embedding space of the backbone.

    Args:
        num_prototypes: number of prototypes.
        embeddings: embedding matrix of the backbone.
        kind: `vocabulary`: a linear map over the whole vocabulary, as published. `free`: the vectors are the weights,
            initialised from such a map. If the embedding matrix has full rank, both can represent every set of vectors.
    """

    def __init__(
        self,
        num_prototypes: int,
        embeddings: Float[Tensor, "vocabulary width"],
        kind: Literal["free", "vocabulary"],
    ) -> None:
        super().__init__()
        self.kind = kind
        vocabulary = embeddings.shape[0]
        if kind == "vocabulary":
            mapping = nn.Linear(vocabulary, num_prototypes)
            self.weight, self.bias = mapping.weight, mapping.bias
        else:
            self.vectors = nn.Parameter(_initial_vectors(num_prototypes, embeddings))

    def forward(self, embeddings: Float[Tensor, "vocabulary width"] | None) -> Float[Tensor, "prototypes width"]:
        """The prototypes. They depend only on weights, not on windows.

        Args:
            embeddings: embedding matrix of the backbone; used only by the kind `vocabulary`.
        """
        if self.kind == "free" or embeddings is None:
            return self.vectors
        return torch.addmm(self.bias[:, None], self.weight, embeddings.to(self.weight.dtype))


def _initial_vectors(
    num_prototypes: int, embeddings: Float[Tensor, "vocabulary width"]
) -> Float[Tensor, "prototypes width"]:
    """Output of a linear map over the vocabulary with the default initialisation of nn.Linear."""
    table = embeddings.detach().float().cpu()
    bound = 1 / math.sqrt(table.shape[0])
    vectors = torch.empty(num_prototypes, table.shape[1])
    buffer = torch.empty(ROWS_AT_ONCE, table.shape[0])  # reused: the process would keep the memory of new buffers
    for first in range(0, num_prototypes, ROWS_AT_ONCE):
        rows = vectors[first : first + ROWS_AT_ONCE]
        torch.mm(buffer[: len(rows)].uniform_(-bound, bound), table, out=rows)
    return vectors + torch.empty(num_prototypes, 1).uniform_(-bound, bound)


class Reprogramming(nn.Module):
    """Multi-head attention with patches as queries and prototypes as keys and values.

    Source: Time-LLM (Jin et al. 2024), equation 2.
    """

    def __init__(self, d_model: int, num_heads: int, d_ff: int, width: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.d_ff = num_heads, d_ff
        self.query = nn.Linear(d_model, d_ff * num_heads)
        self.key = nn.Linear(width, d_ff * num_heads)
        self.value = nn.Linear(width, d_ff * num_heads)
        self.out = nn.Linear(d_ff * num_heads, width)
        self.dropout = nn.Dropout(dropout)

    def keys_values(self, prototypes: Float[Tensor, "prototypes width"]) -> KeysValues:
        """Keys and values of the prototypes, each [heads, prototypes, d_ff]. They do not depend on windows."""
        shape = (prototypes.shape[0], self.num_heads, self.d_ff)
        return self.key(prototypes).view(shape).transpose(0, 1), self.value(prototypes).view(shape).transpose(0, 1)

    def attention(
        self, patches: Float[Tensor, "batch patches d_model"], keys_values: KeysValues
    ) -> Float[Tensor, "batch patches prototypes"]:
        """Attention weights from patches to prototypes, averaged over heads. The weights of a patch sum to 1."""
        batch, length, _ = patches.shape
        queries = self.query(patches).view(batch, length, self.num_heads, self.d_ff).transpose(1, 2)
        scores = queries @ keys_values[0].transpose(1, 2) / math.sqrt(self.d_ff)
        return scores.softmax(dim=-1).mean(dim=1)

    def forward(
        self, patches: Float[Tensor, "batch patches d_model"], keys_values: KeysValues
    ) -> Float[Tensor, "batch patches width"]:
        """Patches mapped to the embedding space of the backbone.

        All patches of a batch attend to the same prototypes, so the batch dimension is folded into the sequence
        dimension of the queries, and attention runs once for all windows.
        """
        batch, length, _ = patches.shape
        queries = self.query(patches).view(1, batch * length, self.num_heads, self.d_ff).transpose(1, 2)
        keys, values = keys_values
        mixed = F.scaled_dot_product_attention(queries, keys[None], values[None])
        # Dropout is applied to the output, not to the attention weights: no [patches, prototypes] matrix is saved.
        return self.out(self.dropout(mixed.transpose(1, 2).reshape(batch, length, -1)))
