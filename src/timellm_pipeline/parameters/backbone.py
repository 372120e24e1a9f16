"""The frozen language model."""

from typing import Literal

from pydantic import Field

from timellm_pipeline.parameters.group import Group


class BackboneParams(Group):
    """`backbone`: the frozen language model."""

    name: str = Field(default="smollm2", min_length=1)
    """`smollm2` (from its Python package), a Hugging Face id, a local folder, or `none` for no language model."""

    layers: int | None = Field(default=None, ge=1)
    """Number of layers to use, counted from the first; null uses all. More than the model has is an error."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the frozen weights; `auto` follows `training.precision`: float32 on a CPU."""

    quantization: Literal["none", "8bit", "nf4"] = "none"
    """Bits of the frozen linear layers: those of `dtype`, 8, or 4 (nf4). It saves memory, not time, and needs a GPU and
    the extra `[quant]`."""

    weights: Literal["pretrained", "random"] = "pretrained"
    """`random`: every matrix is drawn anew with its mean and deviation, to see whether pretraining helps."""

    revisions: dict[str, str] = Field(default_factory=dict)
    """Commit of each hub id that may be used, so that the same id always loads the same weights."""
