"""Which device computes, and in which precision."""

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
    """A device and the precision of its matrix products; trainable weights stay float32."""

    device: torch.device = CPU
    precision: Precision = "no"

    def autocast(self) -> AbstractContextManager[None]:
        """Run products in this precision inside the `with` block."""
        enabled = self.precision != "no"
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=enabled)

    def backbone_dtype(self, backbone: BackboneParams) -> torch.dtype:
        """Type of the frozen weights: as asked, or this precision's own."""
        return DTYPES[self.precision] if backbone.dtype == "auto" else NAMED[backbone.dtype]


def resolve_compute(precision: Literal["auto", "no", "bf16", "fp16"]) -> Compute:
    """The first GPU if there is one, else the CPU, and what `training.precision` means there.

    Raises ParameterError for fp16 on a CPU, and for bf16 on a GPU that only emulates it.
    """
    if not torch.cuda.is_available():
        if precision == "fp16":
            raise ParameterError(
                "fp16 needs a GPU; this machine computes on its CPU",
                where="training.precision",
                do="set training.precision to auto, no or bf16",
            )
        return Compute(torch.device("cpu"), "no" if precision == "auto" else precision)
    # Plain is_bf16_supported() says yes on GPUs that emulate bf16, several times slower than fp16.
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not native:
        raise ParameterError(
            f"{torch.cuda.get_device_name()} has no native bf16",
            where="training.precision",
            do="set training.precision to auto or fp16",
        )
    return Compute(torch.device("cuda", torch.cuda.current_device()), precision_on_gpu(precision, native))


def compute_as_trained(precision: Precision) -> Compute:
    """This machine's device in the precision a model was trained in, or in float32, said, where it lacks that."""
    try:
        return resolve_compute(precision)
    except ParameterError as error:
        log.warning("%s: this model, trained in %s, runs in float32", error.what, precision)
        return resolve_compute("no")


def precision_on_gpu(precision: Literal["auto", "no", "bf16", "fp16"], native_bf16: bool) -> Precision:
    """`auto` is bf16 where the GPU has it natively and fp16 elsewhere."""
    if precision != "auto":
        return precision
    return "bf16" if native_bf16 else "fp16"
