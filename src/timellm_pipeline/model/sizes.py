"""Shapes and number of the trainable weights, computed without loading a backbone."""

import math

from timellm_pipeline.parameters import ModelParams, WindowParams


def trainable_shapes(
    window: WindowParams, model: ModelParams, backbone_shape: tuple[int, int] | None
) -> dict[str, tuple[int, ...]]:
    """Shape of each trainable weight by name.

    Args:
        window, model: the parameter groups with these names.
        backbone_shape: vocabulary size and hidden size of the backbone; None without a backbone.
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
    """Number of trainable weights. Takes the arguments of `trainable_shapes`."""
    return sum(math.prod(shape) for shape in trainable_shapes(window, model, backbone_shape).values())
