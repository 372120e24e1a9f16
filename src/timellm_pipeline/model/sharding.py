"""Share the frozen layers of a backbone between workers (FSDP2): each keeps a part and gathers a layer when it runs.

Only the frozen weights of the layers are shared. Embeddings, final norm and everything trainable are whole on each
worker, so gradients are the same as without sharing. Layers are gathered by all workers together: all have to run
equally many forward and backward passes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from timellm_pipeline.errors import BackboneError
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.workers.group import WorkerGroup


def shared(compute: Compute, shard: Literal["none", "layers"]) -> Compute:
    """The compute settings of a worker: its layers are shared if that is wanted and it is not alone."""
    return replace(compute, shards=WorkerGroup.current().size if shard == "layers" else 1)


def load_shared(folder: Path, config: Any, compute: Compute, **options: Any) -> tuple[nn.Module, dict[str, list[str]]]:
    """The backbone in a folder, each layer shared between the workers of the group, and its `missing_keys`.

    Each worker reads only its own part of a layer from the files.

    Args:
        folder: folder of the safetensors files.
        config: transformers config with the requested number of layers.
        compute: device, and number of workers.
        options: keyword arguments of `AutoModel.from_config`.
    """
    from accelerate import init_empty_weights
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from transformers import AutoModel

    with init_empty_weights(include_buffers=False):
        model = AutoModel.from_config(config, **options)
    model.requires_grad_(False)
    layers = layers_of(model)
    in_layers = {id(weight) for layer in layers for weight in layer.parameters()}
    whole = {weight for weight in model.parameters() if id(weight) not in in_layers}
    mesh = init_device_mesh(compute.device.type, (compute.shards,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh, ignored_params=whole)
    buffers = {key: buffer.to(compute.device) for key, buffer in model.named_buffers()}
    model.to_empty(device=compute.device)
    for key, buffer in model.named_buffers():  # `to_empty` emptied them too
        buffer.copy_(buffers[key])
    return model, {"missing_keys": _read_weights(model, folder)}


def layers_of(backbone: Any) -> list[nn.Module]:
    """The transformer layers of a backbone. Raises BackboneError if they are not one list of modules."""
    count = backbone.config.num_hidden_layers
    found = [part for part in backbone.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    if not found:
        raise BackboneError(
            f"the layers of {type(backbone).__name__} are not one list, so they cannot be shared between workers",
            where="workers.shard",
            do="set workers.shard=none, or choose another backbone",
        )
    return list(found[0])


def is_shared(module: nn.Module) -> bool:
    """Whether the weights of a module are shared between workers."""
    return hasattr(module, "unshard")  # only FSDP2 modules have it; importing FSDP2 would take time


@contextmanager
def gathered(module: Any) -> Iterator[None]:
    """The weights of a layer are whole within the block, if it is shared. All workers must call it."""
    if is_shared(module):
        module.unshard()
    try:
        yield
    finally:
        if is_shared(module):
            module.reshard()


def _read_weights(model: nn.Module, folder: Path) -> list[str]:
    """Read the own parts of the weights of a model. Returns the names of weights that the files do not contain.

    The files may name weights with a prefix, such as `model.`.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(folder))
    stored = reader.read_metadata().state_dict_metadata
    weights = dict(model.named_parameters())
    first = next(iter(weights))
    prefix = next((key.removesuffix(first) for key in stored if key.endswith(first)), "")
    found = {prefix + key: weight for key, weight in weights.items() if prefix + key in stored}
    load(found, storage_reader=reader, no_dist=True)
    return [key for key in weights if prefix + key not in found]
