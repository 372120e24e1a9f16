"""Quantization of the frozen weights to 4 or 8 bits with bitsandbytes (the extra `[quant]`, on a GPU).

It reduces memory, not time. Only the linear layers of the backbone are quantised, not the embeddings, the norms and
the trainable weights.
"""

import importlib.util
import logging
from typing import Any

from timellm_pipeline.errors import BackboneError
from timellm_pipeline.model.compute import DTYPES, Compute
from timellm_pipeline.parameters import BackboneParams

DEVICES = ("cuda",)


def refuse_quantization(params: BackboneParams, compute: Compute) -> None:
    """Raise BackboneError if weights cannot be quantised: on a CPU, without bitsandbytes, or without a backbone."""
    if params.quantization == "none":
        return
    if params.name == "none":
        raise BackboneError(
            f"quantization is {params.quantization}, but there is no backbone to quantise",
            where="backbone.quantization",
            do="set backbone.quantization to none, or set backbone.name to a backbone",
        )
    if compute.device.type not in DEVICES:
        raise BackboneError(
            f"{params.quantization} weights need a GPU; this machine runs on its {compute.device.type.upper()}",
            where="backbone.quantization",
            do="use a GPU, or set backbone.quantization to none (and lower backbone.layers if memory is short)",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BackboneError(
            f"{params.quantization} weights need the package bitsandbytes",
            where="backbone.quantization",
            do='pip install "timellm_pipeline[quant]" (or bitsandbytes alone), or set backbone.quantization to none',
        )


def loading_arguments(params: BackboneParams, compute: Compute) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained` for device and quantization.

    On a GPU, weights are loaded directly to the device, without a copy in host memory.
    Raises the errors of `refuse_quantization`.
    """
    refuse_quantization(params, compute)
    if params.quantization == "none":
        return {} if compute.device.type == "cpu" else {"device_map": {"": compute.device}}
    from transformers import BitsAndBytesConfig

    # It logs for each product that 8-bit layers compute in float16.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if params.quantization == "nf4":
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES[compute.precision],
        )
    else:
        # By default it searches outliers in the whole batch, so a forecast would depend on the other windows.
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    return {"device_map": {"": compute.device}, "quantization_config": config}
