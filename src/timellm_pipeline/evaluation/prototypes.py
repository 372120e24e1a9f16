"""Inspection of the prototypes of a trained model: attention of patches, and the nearest tokens of the vocabulary.

A prototype is a vector in the embedding space of the backbone. It is often not close to any token: the table contains
the cosine similarity, so that readers can judge this.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

from timellm_pipeline.errors import ModelError
from timellm_pipeline.model.prefix import word_embeddings
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.windows import Windows

MOST_WINDOWS = 512  # windows whose attention is computed
NUM_SHOWN = 24  # prototypes in the table: those with the most attention
NUM_WORDS = 5  # nearest tokens per prototype


@torch.no_grad()
def read_prototypes(model: TimeLLM, windows: Windows) -> tuple[pd.DataFrame, np.ndarray]:
    """Table of the prototypes with the most attention, and their attention from each patch position.

    Returns:
        A table with one row per prototype: `prototype`, `attention` (mean share over windows, patches and heads),
        `words` (nearest tokens with cosine similarity), `patch` (position with the most attention, from 1),
        `strongest` (channel, time and patch of the strongest attention).
        The mean attention, [prototypes of the table, patches].

    Raises ModelError for a model without a language model: it has no vocabulary.
    """
    network, writer = model.network, model.writer
    if network.backbone is None or writer is None:
        raise ModelError(
            "a model without a language model has no vocabulary",
            where="backbone.name",
            do="train a model with a backbone",
        )
    which = np.unique(np.linspace(0, len(windows) - 1, MOST_WINDOWS).round().astype(int))
    inputs = torch.from_numpy(windows.gather(which)[0]).to(model.compute.device)
    attention = network.prototype_attention(inputs).cpu().numpy()
    share = attention.mean(axis=(0, 1))
    shown = np.argsort(-share, kind="stable")[:NUM_SHOWN]
    embeddings = word_embeddings(network.backbone)
    vectors = network.prototypes(embeddings)[torch.from_numpy(shown).to(model.compute.device)].float()
    table = torch.nn.functional.normalize(embeddings.float(), dim=1)
    nearest = torch.topk(torch.nn.functional.normalize(vectors, dim=1) @ table.T, NUM_WORDS, dim=1)
    rows = []
    for row, number in enumerate(shown):
        words = [
            f"{_token_text(writer.tokenizer, int(token))} ({cosine:.2f})"
            for token, cosine in zip(nearest.indices[row], nearest.values[row], strict=True)
        ]
        window, patch = np.unravel_index(attention[:, :, number].argmax(), attention.shape[:2])
        chosen = which[window : window + 1]
        begin = windows.panel.stamps[windows.origin(chosen)[0] - windows.seq_len + 1]
        rows.append(
            {
                "prototype": int(number),
                "attention": float(share[number]),
                "words": ", ".join(words),
                "patch": int(attention[:, :, number].mean(axis=0).argmax()) + 1,
                "strongest": f"{windows.names[windows.channel(chosen)[0]]}, window from "
                f"{begin}, patch {patch + 1} "
                f"({attention[window, patch, number]:.1%} of its attention)",
            }
        )
    return pd.DataFrame(rows), attention.mean(axis=0).T[shown]


def prototype_lines(table: pd.DataFrame, most: int = 8) -> str:
    """The first `most` rows of the table as text for the log."""
    head = table.head(most)
    rows = zip(head["prototype"], head["attention"], head["words"], strict=True)
    return "\n".join(f"  {number:>5} {share:>7.2%}  {words}" for number, share, words in rows)


def _token_text(tokenizer: Any, token: int) -> str:
    return repr(tokenizer.decode([token]))
