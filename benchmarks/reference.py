"""The published Time-LLM as a plain module: what tests and benchmarks compare ours with.

Written from the paper and the published code's behaviour (KimMeen/Time-LLM, commit 0045cde), under its names for
weights: full forward with gradients through the prompt, attention maps and hidden states asked for, full float
representations, circular lags, a map over the whole vocabulary every step, prompts built window by window, no
attention mask. One channel at a time, as its data loader gives them.
"""

from typing import Any

import torch
from torch import Tensor, nn


class TokenConvolution(nn.Module):
    """Three neighbouring patches to one embedding, wrapping around."""

    def __init__(self, patch_len: int, d_model: int) -> None:
        super().__init__()
        self.tokenConv = nn.Conv1d(patch_len, d_model, 3, padding=1, padding_mode="circular", bias=False)


class PatchEmbedding(nn.Module):
    """Published patch embedding."""

    def __init__(self, patch_len: int, stride: int, d_model: int, dropout: float) -> None:
        super().__init__()
        self.patch_len, self.stride = patch_len, stride
        self.value_embedding = TokenConvolution(patch_len, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, length] to [batch, patches, d_model]."""
        padded = nn.functional.pad(x[:, None], (0, self.stride), mode="replicate")[:, 0]
        patches = padded.unfold(-1, self.patch_len, self.stride)
        return self.dropout(self.value_embedding.tokenConv(patches.transpose(1, 2)).transpose(1, 2))


class ReprogrammingLayer(nn.Module):
    """Published cross-attention from patches to prototypes."""

    def __init__(self, d_model: int, num_heads: int, d_keys: int, width: int, dropout: float) -> None:
        super().__init__()
        self.query_projection = nn.Linear(d_model, d_keys * num_heads)
        self.key_projection = nn.Linear(width, d_keys * num_heads)
        self.value_projection = nn.Linear(width, d_keys * num_heads)
        self.out_projection = nn.Linear(d_keys * num_heads, width)
        self.num_heads = num_heads
        self.dropout = nn.Dropout(dropout)

    def forward(self, patches: Tensor, prototypes: Tensor) -> Tensor:
        """[batch, patches, d_model] and [prototypes, width] to [batch, patches, width]."""
        batch, length, _ = patches.shape
        queries = self.query_projection(patches).view(batch, length, self.num_heads, -1)
        keys = self.key_projection(prototypes).view(len(prototypes), self.num_heads, -1)
        values = self.value_projection(prototypes).view(len(prototypes), self.num_heads, -1)
        scores = torch.einsum("blhe,she->bhls", queries, keys) / queries.shape[-1] ** 0.5
        weights = self.dropout(torch.softmax(scores, dim=-1))
        return self.out_projection(torch.einsum("bhls,she->blhe", weights, values).reshape(batch, length, -1))


class FlattenHead(nn.Module):
    """Published head: dropout after the linear layer, on the forecast itself."""

    def __init__(self, inputs: int, pred_len: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, pred_len)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, units, patches] to [batch, pred_len]."""
        return self.dropout(self.linear(x.flatten(-2)))


class PublishedTimeLLM(nn.Module):
    """The published model on a loaded backbone and tokenizer; `x` is [batch, seq_len] of one channel."""

    def __init__(
        self,
        backbone: Any,
        tokenizer: Any,
        description: str,
        *,
        seq_len: int,
        pred_len: int,
        patch_len: int,
        stride: int,
        d_model: int,
        d_ff: int,
        num_heads: int,
        num_prototypes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.llm_model, self.tokenizer, self.description = backbone, tokenizer, description
        self.seq_len, self.pred_len, self.d_ff, self.top_k = seq_len, pred_len, d_ff, 5
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
        tokenizer.padding_side = "right"
        for weight in backbone.parameters():
            weight.requires_grad = False
        table = backbone.get_input_embeddings().weight
        self.num_patches = (seq_len - patch_len) // stride + 2
        self.patch_embedding = PatchEmbedding(patch_len, stride, d_model, dropout)
        self.mapping_layer = nn.Linear(table.shape[0], num_prototypes)
        self.reprogramming_layer = ReprogrammingLayer(d_model, num_heads, d_ff, table.shape[1], dropout)
        self.output_projection = FlattenHead(d_ff * self.num_patches, pred_len, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, seq_len] to [batch, pred_len], scaled units."""
        x = x[:, :, None]  # one channel last, as its data loader gives it
        mean = torch.mean(x, dim=1, keepdim=True).detach()
        deviation = torch.sqrt(torch.var(x, dim=1, keepdim=True, unbiased=False) + 1e-5).detach()
        z = (x - mean) / deviation
        prompts = self.prompts(z)
        ids = self.tokenizer(prompts, return_tensors="pt", padding=True, truncation=True, max_length=2048).input_ids
        words = self.llm_model.get_input_embeddings()(ids.to(x.device))
        table = self.llm_model.get_input_embeddings().weight
        prototypes = self.mapping_layer(table.permute(1, 0)).permute(1, 0)
        patches = self.reprogramming_layer(self.patch_embedding(z[:, :, 0]), prototypes)
        hidden = self.llm_model(
            inputs_embeds=torch.cat([words, patches], dim=1), output_attentions=True, output_hidden_states=True
        ).last_hidden_state
        units = hidden[:, -self.num_patches :, : self.d_ff].permute(0, 2, 1).contiguous()
        return self.output_projection(units) * deviation[:, :, 0] + mean[:, :, 0]

    def prompts(self, z: Tensor) -> list[str]:
        """The prompt of each window, one by one, from scalars on the device."""
        lows, highs = torch.min(z, dim=1)[0], torch.max(z, dim=1)[0]
        medians, trends, lags = torch.median(z, dim=1).values, z.diff(dim=1).sum(dim=1), self.lags(z)
        texts = []
        for row in range(z.shape[0]):
            low, high, median = (str(of[row].tolist()[0]) for of in (lows, highs, medians))
            direction = "upward" if trends[row] > 0 else "downward"
            texts.append(
                f"<|start_prompt|>Dataset description: {self.description}"
                f"Task description: forecast the next {self.pred_len!s} steps given the previous {self.seq_len!s} "
                "steps information; Input statistics: "
                f"min value {low}, max value {high}, median value {median}, the trend of input is {direction}, "
                f"top 5 lags are : {lags[row].tolist()!s}<|<end_prompt>|>"
            )
        return texts

    def lags(self, z: Tensor) -> Tensor:
        """The five largest values of the circular autocorrelation."""
        spectrum = torch.fft.rfft(z.permute(0, 2, 1).contiguous(), dim=-1)
        correlation = torch.fft.irfft(spectrum * torch.conj(spectrum), dim=-1)
        return torch.topk(torch.mean(correlation, dim=1), self.top_k, dim=-1)[1]
