"""Find and load the frozen language model: by hub id, from a folder, or from a Python package.

Nothing is substituted. A backbone that is missing, unpinned, too short or incomplete is an error that says what to
do. No remote code is run and nothing is unpickled: weights come from safetensors files alone.
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
from timellm_pipeline.parameters import BackboneParams
from timellm_pipeline.series.identity import digest_of_file

if TYPE_CHECKING:
    from timellm_pipeline.model.compute import Compute

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
COMMIT = re.compile(r"^[0-9a-f]{40}$")


def default_cache() -> Path:
    """The user's cache folder for backbones; the environment variable TIMELLM_CACHE sets another."""
    chosen = os.environ.get("TIMELLM_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("timellm_pipeline", appauthor=False)


@dataclass(frozen=True)
class LoadedBackbone:
    """A frozen backbone in memory: the model without its output layer, and its tokenizer.

    `model` and `tokenizer` are None for `backbone.name: none`.
    """

    model: Any
    tokenizer: Any


@dataclass(frozen=True)
class BackboneSource:
    """The handle behind the catalog entry `backbone`: says what a backbone is, and loads it when asked to.

    Attributes:
        cache: folder for unpacked weights and remembered digests; the user's cache folder by default.
    """

    cache: Path = field(default_factory=default_cache)

    def identity(self, params: BackboneParams) -> dict[str, Any]:
        """What decides the backbone's numbers: a pinned revision, or digests of the local files; never a path.

        Raises BackboneError as `load` does where no file needs to be read for it.
        """
        if params.name == "none":
            return {"name": "none"}
        used: dict[str, Any] = {"layers": params.layers}
        if params.quantization != "none":
            used["quantization"] = params.quantization
        if params.name == "smollm2":
            return {"name": "smollm2", "gguf": self._digest(smollm2.find_gguf()), **used}
        folder = _local_folder(params.name)
        if folder is None:
            return {"name": params.name, "revision": pinned_revision(params), **used}
        files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".model", ".txt"))
        return {"files": {path.name: self._digest(path) for path in files}, **used}

    def load(self, params: BackboneParams, compute: "Compute") -> LoadedBackbone:
        """The first `params.layers` layers, frozen, in the type that `compute` asks for, with the tokenizer.

        Raises:
            BackboneError: missing package, folder or hub access; unpinned hub id; fewer layers than asked; weights
                that did not load; no fast tokenizer; quantised weights where there can be none.
        """
        if params.name == "none":
            return LoadedBackbone(None, None)
        import torch
        from transformers import AutoModel, AutoTokenizer

        from timellm_pipeline.model.quantized import loading_arguments

        gc.collect()  # a backbone that was let go of holds itself in a cycle, and its memory until it is collected
        how = loading_arguments(params, compute)
        place, config = self._open(params)
        with _quiet_transformers():
            try:
                tokenizer = AutoTokenizer.from_pretrained(use_fast=True, **place)
                model, report = AutoModel.from_pretrained(
                    config=config,
                    dtype=compute.backbone_dtype(params),
                    use_safetensors=True,
                    attn_implementation="sdpa",
                    output_loading_info=True,
                    **how,
                    **place,
                )
            except (torch.OutOfMemoryError, MemoryError):
                raise  # no fault of the files
            except Exception as error:  # hub, tokenizer and safetensors each raise errors of their own
                raise _not_loaded(params, error) from error
        _refuse_incomplete(params, report)
        if not getattr(tokenizer, "is_fast", False):
            raise BackboneError(
                f"`{params.name}` has no fast tokenizer (tokenizer.json)",
                where="backbone.name",
                do="choose a backbone with a tokenizer.json; prompts are tokenised a batch at a time",
            )
        model.requires_grad_(False)
        model.eval()
        return LoadedBackbone(model, tokenizer)

    def shape(self, params: BackboneParams) -> tuple[int, int] | None:
        """Vocabulary and width of the backbone, without its weights; None for `none`.

        Raises BackboneError as `load` does for what the config alone can tell.
        """
        if params.name == "none":
            return None
        _, config = self._open(params)
        return config.vocab_size, config.hidden_size

    def _open(self, params: BackboneParams) -> tuple[dict[str, Any], Any]:
        """Where the files are, and the config cut to the layers asked for."""
        from transformers import AutoConfig

        place: dict[str, Any] = {"trust_remote_code": False}
        if params.name == "smollm2":
            gguf = smollm2.find_gguf()
            place["pretrained_model_name_or_path"] = str(smollm2.unpack(self.cache, gguf, self._digest(gguf)))
        elif (folder := _local_folder(params.name)) is not None:
            place["pretrained_model_name_or_path"] = str(folder)
        else:
            place |= {"pretrained_model_name_or_path": params.name, "revision": pinned_revision(params)}
        with _quiet_transformers():
            try:
                config = AutoConfig.from_pretrained(**place)
            except Exception as error:  # as in `load`
                raise _not_loaded(params, error) from error
        _keep_layers(config, params)
        return place, config

    def _digest(self, path: Path) -> str:
        """sha256 of a file, remembered by path, size and time: a backbone may be 16 GB on a slow drive."""
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
    """No progress bars, and no report of unused weights: it would list the layers that were not asked for.

    Missing weights are raised as an error of our own.
    """
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def pinned_revision(params: BackboneParams) -> str:
    """The commit of a hub id. Raises BackboneError for an unpinned one, saying how to pin it."""
    revision = params.revisions.get(params.name)
    if revision is None or not COMMIT.match(revision):
        found = "no revision" if revision is None else f"the revision {revision!r}, which is not a full commit"
        raise BackboneError(
            f"the hub id `{params.name}` has {found}",
            where="backbone.revisions",
            do=f"add `{params.name}: <40-digit commit>` (on the hub: Files, History), or give a local folder",
        )
    return revision


def _local_folder(name: str) -> Path | None:
    """The folder of that name, or None for a hub id. Raises BackboneError for what can be neither."""
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BackboneError(
                f"the folder {path} holds no config.json",
                where="backbone.name",
                do="give the folder that `save_pretrained` or a hub download wrote",
            )
        return path
    if HUB_ID.match(name):
        return None
    raise BackboneError(
        f"there is no folder {name}",
        where="backbone.name",
        do="give a folder that exists, a hub id like openai-community/gpt2, `smollm2` or `none`",
    )


def _keep_layers(config: Any, params: BackboneParams) -> None:
    """Ask for the first `layers` layers only. More than there are would be filled with random weights: an error."""
    if params.layers is None:
        return
    if params.layers > config.num_hidden_layers:
        raise BackboneError(
            f"`{params.name}` has {config.num_hidden_layers} layers; {params.layers} were asked for",
            where="backbone.layers",
            do=f"set backbone.layers to {config.num_hidden_layers} or less, or null for all",
        )
    config.num_hidden_layers = params.layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: params.layers]


def _refuse_incomplete(params: BackboneParams, report: Mapping[str, Any]) -> None:
    wrong = {kind: sorted(map(str, report.get(kind) or ())) for kind in ("missing_keys", "mismatched_keys")}
    # A pooling layer sits behind the hidden states that are read, and many checkpoints come without one.
    absent = [key for key in wrong["missing_keys"] + wrong["mismatched_keys"] if not key.startswith("pooler.")]
    if absent:
        raise BackboneError(
            f"{len(absent)} weights of `{params.name}` are not in its files, `{absent[0]}` for one",
            where="backbone.name",
            do="download the backbone again; it would run with random weights in their place",
        )


def _not_loaded(params: BackboneParams, error: Exception) -> BackboneError:
    text = f"{type(error).__name__}: {error}"
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "gated" in text.lower() or "401" in text or "403" in text:
        do = f"accept the licence on the hub page of {params.name}, then `hf auth login` or set HF_TOKEN"
    elif _local_folder(params.name) is None and params.name != "smollm2":
        do = "check network and name, set HF_ENDPOINT to a mirror, or give a local folder with the same files"
    else:
        do = "check the folder: it needs config.json, *.safetensors and tokenizer.json, whole"
    return BackboneError(f"the backbone `{params.name}` did not load: {first}", where="backbone.name", do=do)
