"""Find and load the frozen language model: by Hugging Face hub id, from a folder, or from a Python package.

There is no silent substitution: a backbone that is missing, not pinned to a commit, incomplete, or has fewer layers
than requested raises an error. No remote code is run and nothing is unpickled: weights are loaded from safetensors
files only.
"""

import gc
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from timellm_pipeline.errors import BackboneError
from timellm_pipeline.files import write_atomic
from timellm_pipeline.model import smollm2
from timellm_pipeline.model.hub import IDENTIFYING, hub_snapshot, pinned_revision
from timellm_pipeline.parameters import BackboneParams
from timellm_pipeline.series.identity import digest_of_file

if TYPE_CHECKING:
    from timellm_pipeline.model.compute import Compute

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")


def default_cache() -> Path:
    """Cache folder for backbones: the environment variable TIMELLM_CACHE, or the user's cache folder by default."""
    chosen = os.environ.get("TIMELLM_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("timellm_pipeline", appauthor=False)


@dataclass(frozen=True)
class LoadedBackbone:
    """A frozen backbone in memory: the model without its output layer, and its tokenizer.

    Both are None for `backbone.name: none`.
    """

    model: Any
    tokenizer: Any


@dataclass(frozen=True)
class BackboneSource:
    """Identifies and loads backbones; the value of the catalog entry `backbone`.

    Attributes:
        cache: folder for unpacked weights and cached digests; see `default_cache`.
    """

    cache: Path = field(default_factory=default_cache)

    def identity(self, params: BackboneParams) -> dict[str, Any]:
        """Identity of a backbone: everything that affects its outputs.

        It contains the pinned revision or the digests of the local files, the number of layers and the quantization,
        never a path. Raises the errors of `load` that need no weights.
        """
        if params.name == "none":
            return {"name": "none"}
        used: dict[str, Any] = {"layers": params.layers}
        if params.quantization != "none":
            used["quantization"] = params.quantization
        if params.weights != "pretrained":
            used["weights"] = params.weights
        if params.name == "smollm2":
            return {"name": "smollm2", "gguf": self._digest(smollm2.find_gguf()), **used}
        folder = _local_folder(params.name)
        if folder is None:
            return {"name": params.name, "revision": pinned_revision(params), **used}
        files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".model", ".txt"))
        return {"files": {path.name: self._digest(path) for path in files}, **used}

    def file_digests(self, params: BackboneParams, download: bool = False) -> dict[str, str] | None:
        """sha256 of config, tokenizer and each weights file, to identify the same backbone at another location.

        Args:
            download: whether files of a hub id that are not in the local hub cache are downloaded.

        None without a backbone, and for a hub id whose files are not in the cache.
        Raises BackboneError for a missing package or folder and for a hub id without a pinned commit.
        """
        if params.name == "none":
            return None
        folder = self._files(params, download)
        files = sorted(path for name in IDENTIFYING for path in folder.glob(name)) if folder else []
        return {path.name: self._digest(path) for path in files} or None

    def needs_download(self, params: BackboneParams) -> bool:
        """Whether this is a pinned hub id whose files are not in the local hub cache."""
        if params.name in ("none", "smollm2") or Path(params.name).expanduser().is_dir():
            return False
        return bool(HUB_ID.match(params.name)) and params.name in params.revisions and not hub_snapshot(params, False)

    def load(self, params: BackboneParams, compute: "Compute") -> LoadedBackbone:
        """The first `params.layers` layers, frozen and in evaluation mode, with the tokenizer.

        The dtype of the weights is `compute.backbone_dtype(params)`.

        Raises:
            BackboneError: if the package, the folder or the hub access is missing, the hub id has no pinned commit, the
                backbone has fewer layers than requested, weights are missing, there is no fast tokenizer, or
                quantization is not available.
        """
        if params.name == "none":
            return LoadedBackbone(None, None)
        import torch
        from transformers import AutoModel, AutoTokenizer

        from timellm_pipeline.model.quantized import loading_arguments
        from timellm_pipeline.model.random_weights import randomize
        from timellm_pipeline.model.sharding import load_shared

        gc.collect()  # an unused backbone is part of a reference cycle: its memory is not freed until it is collected
        arguments = loading_arguments(params, compute)
        location, config = self._open(params)
        options = {"dtype": compute.backbone_dtype(params), "attn_implementation": "sdpa"}
        with _quiet_transformers():
            try:
                tokenizer = AutoTokenizer.from_pretrained(use_fast=True, **location)
                if compute.shards > 1 and (folder := self._files(params, download=True)) is not None:
                    model, report = load_shared(folder, config, compute, **options)
                else:
                    model, report = AutoModel.from_pretrained(
                        config=config,
                        use_safetensors=True,
                        output_loading_info=True,
                        **options,
                        **arguments,
                        **location,
                    )
            except (torch.OutOfMemoryError, MemoryError, BackboneError):
                raise  # not caused by the files
            except Exception as error:  # hub, tokenizer and safetensors raise different exception types
                raise _loading_error(params, error) from error
        _refuse_incomplete(params, report)
        if not getattr(tokenizer, "is_fast", False):
            raise BackboneError(
                f"`{params.name}` has no fast tokenizer (tokenizer.json)",
                where="backbone.name",
                do="choose a backbone with a tokenizer.json; prompts are tokenised in batches",
            )
        model.requires_grad_(False)
        model.eval()
        if params.weights == "random":
            randomize(model)
        return LoadedBackbone(model, tokenizer)

    def shape(self, params: BackboneParams) -> tuple[int, int] | None:
        """Vocabulary size and hidden size of the backbone, from its config; None for `none`.

        Raises the errors of `load` that need only the config.
        """
        if params.name == "none":
            return None
        _, config = self._open(params)
        return config.vocab_size, config.hidden_size

    def _files(self, params: BackboneParams, download: bool) -> Path | None:
        """Folder of the files; None for a hub id whose files are not in the local hub cache and not downloaded."""
        if params.name == "smollm2":
            return smollm2.unpacked_folder(self.cache, self._digest(smollm2.find_gguf()))
        folder = _local_folder(params.name)
        if folder is not None:
            return folder
        try:
            return hub_snapshot(params, download)
        except BackboneError:
            raise
        except Exception as error:  # the hub library raises errors of several packages
            raise _loading_error(params, error) from error

    def _open(self, params: BackboneParams) -> tuple[dict[str, Any], Any]:
        """Arguments of `from_pretrained` that locate the files, and the config with the requested number of layers."""
        from transformers import AutoConfig

        location: dict[str, Any] = {"trust_remote_code": False}
        if params.name == "smollm2":
            gguf = smollm2.find_gguf()
            location["pretrained_model_name_or_path"] = str(smollm2.unpack(self.cache, gguf, self._digest(gguf)))
        elif (folder := _local_folder(params.name)) is not None:
            location["pretrained_model_name_or_path"] = str(folder)
        else:
            location |= {"pretrained_model_name_or_path": params.name, "revision": pinned_revision(params)}
        with _quiet_transformers():
            try:
                config = AutoConfig.from_pretrained(**location)
            except Exception as error:  # as in `load`
                raise _loading_error(params, error) from error
        _limit_layers(config, params)
        return location, config

    def _digest(self, path: Path) -> str:
        """sha256 of a file, cached by path, size and modification time: a backbone may be 16 GB on a slow drive."""
        known_file = self.cache / "digests.json"
        facts = path.stat()
        key = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
        try:
            known: dict[str, str] = json.loads(known_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        if key not in known:
            known[key] = digest_of_file(path)
            self.cache.mkdir(parents=True, exist_ok=True)
            write_atomic(known_file, json.dumps(known, indent=1).encode())
        return known[key]


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Disable progress bars and the report of unused weights, which would list the layers that are not loaded.

    Missing weights are raised as a BackboneError.
    """
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def _local_folder(name: str) -> Path | None:
    """Folder with this path, or None for a hub id. Raises BackboneError if the name is neither."""
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BackboneError(
                f"the folder {path} contains no config.json",
                where="backbone.name",
                do="use a folder that `save_pretrained` or a hub download wrote",
            )
        return path
    if HUB_ID.match(name):
        return None
    raise BackboneError(
        f"there is no folder {name}",
        where="backbone.name",
        do="use an existing folder, a hub id such as openai-community/gpt2, `smollm2` or `none`",
    )


def _limit_layers(config: Any, params: BackboneParams) -> None:
    """Set the config to the first `layers` layers. Raises BackboneError if the backbone has fewer.

    transformers would initialise additional layers with random weights.
    """
    if params.layers is None:
        return
    if params.layers > config.num_hidden_layers:
        raise BackboneError(
            f"`{params.name}` has {config.num_hidden_layers} layers; {params.layers} were requested",
            where="backbone.layers",
            do=f"set backbone.layers to {config.num_hidden_layers} or less, or null for all",
        )
    config.num_hidden_layers = params.layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: params.layers]


def _refuse_incomplete(params: BackboneParams, report: Mapping[str, Any]) -> None:
    wrong = {kind: sorted(map(str, report.get(kind) or ())) for kind in ("missing_keys", "mismatched_keys")}
    # The hidden states do not depend on the pooling layer, and many checkpoints do not contain one.
    absent = [key for key in wrong["missing_keys"] + wrong["mismatched_keys"] if not key.startswith("pooler.")]
    if absent:
        raise BackboneError(
            f"{len(absent)} weights of `{params.name}` are missing in its files, for example `{absent[0]}`",
            where="backbone.name",
            do="download the backbone again; otherwise these weights would be random",
        )


def _loading_error(params: BackboneParams, error: Exception) -> BackboneError:
    text = f"{type(error).__name__}: {error}"
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "gated" in text.lower() or re.search(r"\b40[13]\b", text):
        do = f"accept the licence on the hub page of {params.name}, then `hf auth login` or set HF_TOKEN"
    elif _local_folder(params.name) is None and params.name != "smollm2":
        do = "check the network and the name, set HF_ENDPOINT to a mirror, or use a local folder with the same files"
    else:
        do = "check the folder: it needs complete files config.json, *.safetensors and tokenizer.json"
    return BackboneError(f"cannot load the backbone `{params.name}`: {first}", where="backbone.name", do=do)
