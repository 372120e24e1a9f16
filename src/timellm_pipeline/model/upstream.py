"""Import of weights from the published code: map its parameter names to ours.

Source: the state dict of Time-LLM's `models/TimeLLM.py` (KimMeen/Time-LLM, commit 0045cde).
"""

from collections.abc import Mapping

from torch import Tensor

from timellm_pipeline.errors import ModelError

NAMES = {
    "patch_embedding.value_embedding.tokenConv.weight": "patch_embedding.conv.weight",
    "mapping_layer.weight": "prototypes.weight",
    "mapping_layer.bias": "prototypes.bias",
    "reprogramming_layer.query_projection.weight": "reprogramming.query.weight",
    "reprogramming_layer.query_projection.bias": "reprogramming.query.bias",
    "reprogramming_layer.key_projection.weight": "reprogramming.key.weight",
    "reprogramming_layer.key_projection.bias": "reprogramming.key.bias",
    "reprogramming_layer.value_projection.weight": "reprogramming.value.weight",
    "reprogramming_layer.value_projection.bias": "reprogramming.value.bias",
    "reprogramming_layer.out_projection.weight": "reprogramming.out.weight",
    "reprogramming_layer.out_projection.bias": "reprogramming.out.bias",
    "output_projection.linear.weight": "head.weight",
    "output_projection.linear.bias": "head.bias",
}
NOT_TRAINED = ("llm_model.", "word_embeddings", "normalize_layers.")


def from_upstream_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Trainable weights of a state dict of the published code, under our names.

    A prefix `module.` of the names and the weights of the frozen backbone are ignored.
    Raises ModelError with the trainable weights that are missing or unknown.
    """
    plain = {name.removeprefix("module."): weight for name, weight in state.items()}
    unknown = [name for name in plain if name not in NAMES and not name.startswith(NOT_TRAINED)]
    missing = [name for name in NAMES if name not in plain]
    if unknown or missing:
        raise ModelError(
            "not a state dict of the published Time-LLM: "
            f"missing {', '.join(missing) or 'nothing'}; unknown {', '.join(unknown) or 'nothing'}",
            where="the published checkpoint",
            do="use the file that its run_main.py saved as `checkpoint`",
        )
    return {name: plain[upstream_name] for upstream_name, name in NAMES.items()}
