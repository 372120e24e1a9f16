"""The two names of a training: what it is, and what exactly computes it.

The training id is over the data, the parameters that decide the result, the backbone and the checkpoint format; it
names the checkpoint folder. The content id adds the source that computes, library versions and the kind of device:
with an equal content id a model comes out byte-equal.
"""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import timellm_pipeline
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.parameters import (
    BackboneParams,
    EvaluationParams,
    ModelParams,
    PromptParams,
    TrainingParams,
    WindowParams,
)
from timellm_pipeline.series.identity import digest_of, digest_of_frame
from timellm_pipeline.training.checkpoint import FORMAT

# Speed, safety and display: they change when things are written or how fast, never what comes out.
NOT_DECISIVE = {"save_steps", "keep_checkpoints", "num_workers", "log_steps", "precision", "resume", "force"}
COMPUTING_ROOMS = ("parameters", "series", "model", "evaluation", "training")


def training_facts(
    *,
    scaled_series: pd.DataFrame,
    window_index: pd.DataFrame,
    description: str,
    window: WindowParams,
    prompt: PromptParams,
    model: ModelParams,
    backbone: BackboneParams,
    training: TrainingParams,
    evaluation: EvaluationParams,
    backbone_identity: Mapping[str, Any],
    compute: Compute,
) -> dict[str, Any]:
    """Everything that decides the result, as plain values; its digest is the training id."""
    trained_on = window_index[window_index["split"] != "test"]  # how it is tested does not change a model
    return {
        "format": FORMAT,
        "data": {
            "scaled_series": digest_of_frame(scaled_series),
            "window_index": digest_of_frame(trained_on),
        },
        "window": window.model_dump(),
        "prompt": {
            **prompt.model_dump(include={"significant_digits", "lags", "layout", "statistics"}),
            "description": description,
        },
        "model": model.model_dump(),
        "backbone": {"identity": dict(backbone_identity), "dtype": str(compute.backbone_dtype(backbone))},
        "training": {**training.model_dump(exclude=NOT_DECISIVE), "precision": compute.precision},
        # In float32 the evaluation batch moves validation in the last digits, and so may choose another step.
        "evaluation": evaluation.model_dump(include={"batch_size", "validation_step"}),
    }


def content_facts(training_id: str, backbone: BackboneParams, compute: Compute) -> dict[str, Any]:
    """The training id and what computes it; its digest is the content id."""
    return {
        "training_id": training_id,
        "source": source_digest(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "numpy": version("numpy"),
        **({} if backbone.quantization == "none" else {"bitsandbytes": version("bitsandbytes")}),
        "device": device_kind(compute),
    }


def source_digest() -> str:
    """sha256 over the package source that computes, newlines normalised, so that Windows and Linux agree."""
    root = Path(timellm_pipeline.__file__).parent
    files = sorted(path for room in COMPUTING_ROOMS for path in (root / room).rglob("*.py"))
    return digest_of(
        {path.relative_to(root).as_posix(): path.read_bytes().replace(b"\r\n", b"\n").decode("utf-8") for path in files}
    )


def device_kind(compute: Compute) -> str:
    """The kind of device whose arithmetic it is: a GPU's name, or the processor's architecture and thread count."""
    import torch

    if compute.device.type == "cuda":
        return torch.cuda.get_device_name(compute.device)
    return f"cpu {platform.machine()} {torch.get_num_threads()} threads {torch.backends.cpu.get_cpu_capability()}"


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str = "") -> list[str]:
    """Where two nested sets of facts differ, as `group.name: theirs -> ours`."""
    found = []
    for key in sorted({*ours, *theirs}, key=str):
        name, one, other = f"{path}{key}", ours.get(key), theirs.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, f"{name}.")
        elif one != other:
            found.append(f"{name}: {_short(other)} -> {_short(one)}")
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:16]}…"
