"""Say patches in the backbone's own vocabulary: attention from patches to prototypes."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

KeysValues = tuple[Float[Tensor, "heads prototypes d_ff"], Float[Tensor, "heads prototypes d_ff"]]
ROWS_AT_ONCE = 64  # prototypes drawn at a time when free ones are started: bounds memory, changes no number


class Prototypes(nn.Module):
    """`num_prototypes` vectors in the backbone's embedding space.

    `vocabulary`: a linear map over the whole vocabulary, as published. `free`: the vectors themselves are the
    weights, started from such a map; an embedding matrix of full rank reaches every set of vectors either way.
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
            self.vectors = nn.Parameter(_map_of_vocabulary(num_prototypes, embeddings))

    def forward(self, embeddings: Float[Tensor, "vocabulary width"] | None) -> Float[Tensor, "prototypes width"]:
        """The prototypes, a function of weights alone: once a step in training, once an evaluation.

        `embeddings` is read by the `vocabulary` kind alone.
        """
        if self.kind == "free" or embeddings is None:
            return self.vectors
        return torch.addmm(self.bias[:, None], self.weight, embeddings.to(self.weight.dtype))


def _map_of_vocabulary(
    num_prototypes: int, embeddings: Float[Tensor, "vocabulary width"]
) -> Float[Tensor, "prototypes width"]:
    """What a freshly started linear map over the vocabulary gives (torch's default start for nn.Linear)."""
    table = embeddings.detach().float().cpu()
    bound = 1 / math.sqrt(table.shape[0])
    made = torch.empty(num_prototypes, table.shape[1])
    buffer = torch.empty(ROWS_AT_ONCE, table.shape[0])  # one for all: what is allocated anew stays with the process
    for first in range(0, num_prototypes, ROWS_AT_ONCE):
        rows = made[first : first + ROWS_AT_ONCE]
        torch.mm(buffer[: len(rows)].uniform_(-bound, bound), table, out=rows)
    return made + torch.empty(num_prototypes, 1).uniform_(-bound, bound)


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
        """Keys and values of the prototypes; they do not depend on any window."""
        shape = (prototypes.shape[0], self.num_heads, self.d_ff)
        return self.key(prototypes).view(shape).transpose(0, 1), self.value(prototypes).view(shape).transpose(0, 1)

    def attention(
        self, patches: Float[Tensor, "batch patches d_model"], keys_values: KeysValues
    ) -> Float[Tensor, "batch patches prototypes"]:
        """The weights that patches mix prototypes with, their mean over heads; each patch's add up to 1."""
        batch, length, _ = patches.shape
        queries = self.query(patches).view(batch, length, self.num_heads, self.d_ff).transpose(1, 2)
        scores = queries @ keys_values[0].transpose(1, 2) / math.sqrt(self.d_ff)
        return scores.softmax(dim=-1).mean(dim=1)

    def forward(
        self, patches: Float[Tensor, "batch patches d_model"], keys_values: KeysValues
    ) -> Float[Tensor, "batch patches width"]:
        """Patches as vectors in the backbone's embedding space.

        All patches of a batch attend to the same prototypes, so they stand in one long row of queries: the batch
        is folded into the length, and no window's weights are held apart.
        """
        batch, length, _ = patches.shape
        queries = self.query(patches).view(1, batch * length, self.num_heads, self.d_ff).transpose(1, 2)
        keys, values = keys_values
        mixed = F.scaled_dot_product_attention(queries, keys[None], values[None])
        # What is mixed is dropped, not the weights of the mixing: no [patches, prototypes] matrix has to be kept.
        return self.out(self.dropout(mixed.transpose(1, 2).reshape(batch, length, -1)))
