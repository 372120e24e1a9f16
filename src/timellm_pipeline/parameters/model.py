"""The linear part and the trainable layers."""

from typing import Literal

from pydantic import Field

from timellm_pipeline.parameters.group import Group


class ModelParams(Group):
    """`model`: the linear part, and the trainable layers of Time-LLM."""

    linear: Literal["structured", "plain", "none"] = "structured"
    """The linear part, fitted in closed form; Time-LLM is trained as its correction. `structured`: ridge regressions
    that use season and series; `plain`: one ridge regression; `none`: Time-LLM forecasts alone, as published."""

    season: int | None = Field(default=None, ge=1, le=100_000)
    """Season length in rows for the linear part; null: from the frequency (hourly: a day and a week)."""

    prototypes: Literal["free", "vocabulary"] = "free"
    """`vocabulary`: a linear map over the backbone's complete vocabulary gives the prototypes (as published; 31 to 128
    million weights). `free`: the prototypes are trainable vectors, initialized from such a map."""

    num_prototypes: int = Field(default=1000, ge=1, le=65_536)
    """Number of prototypes: vectors in the backbone's embedding space that patches attend to."""

    d_model: int = Field(default=16, ge=1, le=65_536)
    """Width of a patch embedding."""

    d_ff: int = Field(default=32, ge=1, le=65_536)
    """Width of an attention head, and the number of hidden units of the backbone that the output head reads."""

    num_heads: int = Field(default=8, ge=1, le=1_024)
    """Attention heads of the reprogramming layer."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability of patch embeddings, reprogrammed patches and head inputs."""
