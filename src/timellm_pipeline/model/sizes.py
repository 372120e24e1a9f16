"""How many weights a model has: counted, and known by arithmetic before any backbone is loaded."""

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


def trainable_count(window: WindowParams, model: ModelParams, shape: tuple[int, int] | None) -> int:
    """Number of trainable weights by arithmetic, before any backbone is loaded.

    Args:
        shape: vocabulary and width of the backbone, or None without one.
    """
    vocabulary, width = shape or (0, model.d_ff)
    free = shape is None or model.prototypes == "free"
    prototypes = model.num_prototypes * width if free else model.num_prototypes * (vocabulary + 1)
    patches = 3 * window.patch_len * model.d_model
    inner = model.d_ff * model.num_heads
    reprogramming = (model.d_model + 1) * inner + 2 * (width + 1) * inner + (inner + 1) * width
    head = (model.d_ff * window.patches_per_window + 1) * window.pred_len
    return prototypes + patches + reprogramming + head
