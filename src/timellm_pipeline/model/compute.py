"""Device and precision of the computation."""

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

from timellm_pipeline.errors import ParameterError
from timellm_pipeline.parameters import BackboneParams

log = logging.getLogger(__name__)

Precision = Literal["no", "bf16", "fp16"]
CPU = torch.device("cpu")
DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NAMED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """A device and the autocast precision of its matrix products. Trainable weights are always float32.

    Attributes:
        shards: number of workers that share the layers of the backbone; 1: they are whole.
    """

    device: torch.device = CPU
    precision: Precision = "no"
    shards: int = 1

    def autocast(self) -> AbstractContextManager[None]:
        """Context manager that enables autocast to this precision."""
        enabled = self.precision != "no"
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=enabled)

    def backbone_dtype(self, backbone: BackboneParams) -> torch.dtype:
        """dtype of the frozen weights: `backbone.dtype`, or the dtype of this precision for `auto`."""
        return DTYPES[self.precision] if backbone.dtype == "auto" else NAMED[backbone.dtype]


def resolve_compute(precision: Literal["auto", "no", "bf16", "fp16"]) -> Compute:
    """Device and precision: the current GPU if CUDA is available, otherwise the CPU.

    Args:
        precision: `training.precision`. `auto` is float32 on a CPU; for a GPU see `precision_on_gpu`.

    Raises ParameterError for fp16 on a CPU, and for bf16 on a GPU that only emulates it.
    """
    if not torch.cuda.is_available():
        if precision == "fp16":
            raise ParameterError(
                "fp16 needs a GPU; this machine runs on its CPU",
                where="training.precision",
                do="set training.precision to auto, no or bf16",
            )
        return Compute(torch.device("cpu"), "no" if precision == "auto" else precision)
    # By default is_bf16_supported() also returns True for GPUs that emulate bf16, several times slower than fp16.
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not native:
        raise ParameterError(
            f"{torch.cuda.get_device_name()} has no native bf16",
            where="training.precision",
            do="set training.precision to auto or fp16",
        )
    return Compute(torch.device("cuda", torch.cuda.current_device()), precision_on_gpu(precision, native))


def compute_as_trained(precision: Precision) -> Compute:
    """Device of this machine in the training precision of a model; float32 with a warning if it is not supported."""
    try:
        return resolve_compute(precision)
    except ParameterError as error:
        log.warning("%s: running this model, which was trained in %s, in float32", error.what, precision)
        return resolve_compute("no")


def precision_on_gpu(precision: Literal["auto", "no", "bf16", "fp16"], native_bf16: bool) -> Precision:
    """Precision on a GPU: `auto` is bf16 if the GPU supports it natively, otherwise fp16."""
    if precision != "auto":
        return precision
    return "bf16" if native_bf16 else "fp16"
