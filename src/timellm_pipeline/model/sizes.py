"""How many weights a model has: counted, and known by arithmetic before any backbone is loaded."""

import math
from typing import TYPE_CHECKING, Any

from timellm_pipeline.parameters import ModelParams, WindowParams

if TYPE_CHECKING:
    from timellm_pipeline.model.timellm import TimeLLM


def count_parameters(model: "TimeLLM") -> dict[str, int]:
    """Numbers of `trainable` and `frozen` weights."""
    backbone: Any = model.backbone
    return {
        "trainable": sum(weight.numel() for weight in model.trainables().values()),
        "frozen": 0 if backbone is None else backbone.num_parameters(),  # knows how 4 bits are packed
    }


def trainable_shapes(
    window: WindowParams, model: ModelParams, backbone_shape: tuple[int, int] | None
) -> dict[str, tuple[int, ...]]:
    """The shape of each trainable weight by arithmetic, before any backbone is loaded.

    Args:
        backbone_shape: vocabulary and width of the backbone, or None without one.
    """
    vocabulary, width = backbone_shape or (0, model.d_ff)
    inner = model.d_ff * model.num_heads
    if backbone_shape is None or model.prototypes == "free":
        prototypes: dict[str, tuple[int, ...]] = {"prototypes.vectors": (model.num_prototypes, width)}
    else:
        prototypes = {
            "prototypes.weight": (model.num_prototypes, vocabulary),
            "prototypes.bias": (model.num_prototypes,),
        }
    return {
        "patch_embedding.conv.weight": (model.d_model, window.patch_len, 3),
        **prototypes,
        "reprogramming.query.weight": (inner, model.d_model),
        "reprogramming.query.bias": (inner,),
        "reprogramming.key.weight": (inner, width),
        "reprogramming.key.bias": (inner,),
        "reprogramming.value.weight": (inner, width),
        "reprogramming.value.bias": (inner,),
        "reprogramming.out.weight": (width, inner),
        "reprogramming.out.bias": (width,),
        "head.weight": (window.pred_len, model.d_ff * window.patches_per_window),
        "head.bias": (window.pred_len,),
    }


def trainable_count(window: WindowParams, model: ModelParams, backbone_shape: tuple[int, int] | None) -> int:
    """Number of trainable weights by arithmetic."""
    return sum(math.prod(shape) for shape in trainable_shapes(window, model, backbone_shape).values())
