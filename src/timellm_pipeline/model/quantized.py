"""Frozen weights in 4 or 8 bits, through bitsandbytes (the extra `[quant]`, on a GPU): less memory, not more speed.

Only the backbone's linear layers are quantised; embeddings, norms and everything that is trained stay as they are.
"""

import importlib.util
import logging
from typing import Any

from timellm_pipeline.errors import BackboneError
from timellm_pipeline.model.compute import DTYPES, Compute
from timellm_pipeline.parameters import BackboneParams

DEVICES = ("cuda",)


def refuse_quantization(params: BackboneParams, compute: Compute) -> None:
    """Raises BackboneError where weights cannot be quantised: on a CPU, without the package, without a backbone."""
    if params.quantization == "none":
        return
    if params.name == "none":
        raise BackboneError(
            f"quantization is {params.quantization}, and there is no backbone to quantise",
            where="backbone.quantization",
            do="set backbone.quantization to none, or name a backbone",
        )
    if compute.device.type not in DEVICES:
        raise BackboneError(
            f"{params.quantization} weights need a GPU; this machine computes on its {compute.device.type.upper()}",
            where="backbone.quantization",
            do="use a GPU, or train with backbone.quantization none (and fewer backbone.layers if memory is short)",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BackboneError(
            f"{params.quantization} weights need the package bitsandbytes",
            where="backbone.quantization",
            do='pip install "timellm_pipeline[quant]" (or bitsandbytes alone), or set backbone.quantization to none',
        )


def loading_arguments(params: BackboneParams, compute: Compute) -> dict[str, Any]:
    """What `from_pretrained` is told. On a GPU weights go straight there: host memory need not hold them.

    Raises BackboneError as `refuse_quantization` does.
    """
    refuse_quantization(params, compute)
    if params.quantization == "none":
        return {} if compute.device.type == "cpu" else {"device_map": {"": compute.device}}
    from transformers import BitsAndBytesConfig

    # It says for each product that 8-bit layers compute in float16.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if params.quantization == "nf4":
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES[compute.precision],
        )
    else:
        # Its default looks for outliers in the whole batch, so that a forecast would depend on its batch mates.
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    return {"device_map": {"": compute.device}, "quantization_config": config}
