"""What the prototypes of a trained model say: the words nearest to those that patches attend to.

A prototype is a vector in the backbone's embedding space. It need not be near any word, and often is not: the table
gives the cosine, and it is for the reader to judge.
"""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch

from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.style import plain, styled
from timellm_pipeline.model.prefix import word_embeddings
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.windows import Windows

MOST_WINDOWS = 512  # windows whose attention is looked at
NUM_SHOWN = 24  # prototypes in the table, those that get the most attention
NUM_WORDS = 5


@torch.no_grad()
def read_prototypes(model: TimeLLM, windows: Windows, dates: pd.Series) -> tuple[pd.DataFrame, np.ndarray]:
    """The prototypes that get the most attention, and how much of each patch's.

    Returns:
        A row a prototype: `prototype`, `attention` (mean share over patches and heads), `words` with their cosines,
        `patch` (the position that attends most), `strongest` (channel, time and patch of the strongest attention).
        And attention [prototypes of the table, patches].

    Raises ModelError for a model without a language model: it has no words.
    """
    if model.backbone is None or model.writer is None:
        raise ModelError(
            "a model without a language model has no words", where="backbone.name", do="train one with a backbone"
        )
    which = np.unique(np.linspace(0, len(windows) - 1, MOST_WINDOWS).round().astype(int))
    attention = model.prototype_attention(torch.from_numpy(windows.gather(which)[0])).cpu().numpy()
    share = attention.mean(axis=(0, 1))
    shown = np.argsort(-share, kind="stable")[:NUM_SHOWN]
    embeddings = word_embeddings(model.backbone)
    vectors = model.prototypes(embeddings)[torch.from_numpy(shown)].float()
    table = torch.nn.functional.normalize(embeddings.float(), dim=1)
    near = torch.topk(torch.nn.functional.normalize(vectors, dim=1) @ table.T, NUM_WORDS, dim=1)
    rows = []
    for row, number in enumerate(shown):
        words = [
            f"{_word(model.writer.tokenizer, int(token))} ({cosine:.2f})"
            for token, cosine in zip(near.indices[row], near.values[row], strict=True)
        ]
        window, patch = np.unravel_index(attention[:, :, number].argmax(), attention.shape[:2])
        chosen = which[window]
        rows.append(
            {
                "prototype": int(number),
                "attention": float(share[number]),
                "words": ", ".join(words),
                "patch": int(attention[:, :, number].mean(axis=0).argmax()) + 1,
                "strongest": f"{windows.names[windows.channel[chosen]]}, window of "
                f"{dates.iloc[int(windows.start[chosen])]}, patch {patch + 1} "
                f"({attention[window, patch, number]:.1%} of its attention)",
            }
        )
    return pd.DataFrame(rows), attention.mean(axis=0).T[shown]


def plot_prototypes(table: pd.DataFrame, attention: np.ndarray) -> go.Figure:
    """Attention of each patch position to the prototypes of the table, as a heat map."""
    nearest = table["words"].str.extract(r"^(.*?) \(-?\d\.\d\d\)", expand=False)
    labels = (table["prototype"].astype(str) + ": " + nearest.map(plain)).tolist()
    figure = go.Figure(
        go.Heatmap(
            z=np.round(attention, 5).tolist(),
            x=list(range(1, attention.shape[1] + 1)),
            y=labels,
            colorscale="Reds",
            colorbar={"title": "share"},
            hovertemplate="patch %{x}, prototype %{y}: %{z:.2%}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure = styled(figure, "Which prototypes patches attend to, with the nearest word", "patch of the window", None)
    return figure.update_layout(height=160 + 22 * len(labels), hovermode="closest", margin={"l": 170})


def prototype_lines(table: pd.DataFrame, most: int = 8) -> str:
    """The first rows for the log."""
    head = table.head(most)
    rows = zip(head["prototype"], head["attention"], head["words"], strict=True)
    return "\n".join(f"  {number:>5} {share:>7.2%}  {words}" for number, share, words in rows)


def _word(tokenizer: Any, token: int) -> str:
    return repr(tokenizer.decode([token]))
