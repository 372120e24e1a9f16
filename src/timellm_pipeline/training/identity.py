"""The two ids of a training: the training id, and the content id, which adds what computes it.

The training id is a digest of the data, the parameters that determine the result, the backbone and the checkpoint
format; it names the checkpoint folder. The content id adds the source that computes, library versions and the kind of
device: models with equal content ids are byte-equal.
"""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import timellm_pipeline
from timellm_pipeline.linear.fit import linear_facts
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.parameters import BackboneParams, Parameters
from timellm_pipeline.series.identity import digest_of, digest_of_arrays
from timellm_pipeline.series.prepare import WindowData
from timellm_pipeline.training.checkpoint import FORMAT

# Speed, safety and display: they change when files are written or how fast, never the result.
NOT_DECISIVE = {"save_steps", "keep_checkpoints", "num_workers", "log_steps", "precision", "resume", "force"}
COMPUTING_PACKAGES = ("parameters", "workers", "series", "linear", "model", "evaluation", "training")
# Source in these packages that no number of a model depends on.
NOT_COMPUTING = {
    "series/clock.py",
    "series/formats.py",
    "series/value_drift.py",
    "model/future.py",
    "model/memory.py",
    "model/outputs_job.py",
    "model/window_files.py",
    "model/worker_outputs.py",
    "evaluation/backtest.py",
    "evaluation/by_series.py",
    "evaluation/comparison.py",
    "evaluation/coverage.py",
    "evaluation/examples.py",
    "evaluation/prototypes.py",
    "evaluation/report.py",
    "parameters/workers.py",
    "training/handoff.py",
    "training/launch.py",
    "training/progress.py",
    "training/watching.py",
    "workers/elastic.py",
    "workers/folder.py",
    "workers/signals.py",
}
TRAINED_ON = ("train", "validation")


def training_facts(
    data: WindowData, parameters: Parameters, description: str, backbone_identity: Mapping[str, Any], compute: Compute
) -> dict[str, Any]:
    """Everything that determines the result, as plain values; its digest is the training id."""
    segments = [column for split in TRAINED_ON for column in data.index.splits[split].columns]
    return {
        "format": FORMAT,
        # Test windows are excluded: how a model is tested does not change it.
        "data": {"scaled_series": data.scaled.digest(), "window_index": digest_of_arrays(*segments)},
        "window": parameters.window.model_dump(exclude={"window_step"}),  # the window index contains it
        "prompt": {
            **parameters.prompt.model_dump(include={"significant_digits", "lags", "layout", "statistics"}),
            "description": description,
            **({} if parameters.prompt.series_facts == "none" else {"series_facts": parameters.prompt.series_facts}),
        },
        "model": parameters.model.model_dump(),
        "linear": linear_facts(data, parameters.model, parameters.evaluation),
        "backbone": {
            "identity": dict(backbone_identity),
            "dtype": str(compute.backbone_dtype(parameters.backbone)),
        },
        "training": {**parameters.training.model_dump(exclude=NOT_DECISIVE), "precision": compute.precision},
        # In float32 the evaluation batch size changes the last digits of the validation MSE: another step may win.
        "evaluation": parameters.evaluation.model_dump(include={"batch_size"}),
    }


def content_facts(training_id: str, linear: LinearPart, backbone: BackboneParams, compute: Compute) -> dict[str, Any]:
    """The training id, and the source, versions and device that compute; its digest is the content id.

    Args:
        linear: the linear part: another processor may give other last digits of it.
    """
    return {
        "training_id": training_id,
        "linear_part": linear.digest(),
        "source": source_digest(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "numpy": version("numpy"),
        **({} if backbone.quantization == "none" else {"bitsandbytes": version("bitsandbytes")}),
        "device": device_kind(compute),
    }


def source_digest() -> str:
    """sha256 of the source that computes numbers, with normalized newlines, so that it is equal on Windows and Linux.

    Files that only plot, report or check are excluded: a change there must not prevent an exact resume.
    """
    root = Path(timellm_pipeline.__file__).parent
    files = sorted(
        path
        for package in COMPUTING_PACKAGES
        for path in (root / package).rglob("*.py")
        if f"{package}/{path.name}" not in NOT_COMPUTING
    )
    return digest_of(
        {path.relative_to(root).as_posix(): path.read_bytes().replace(b"\r\n", b"\n").decode("utf-8") for path in files}
    )


def device_kind(compute: Compute) -> str:
    """The device that computes: the GPU's name, or the processor's model, instruction set and number of threads.

    Two processors with the same instruction set may still round differently: their libraries select other kernels.
    """
    import torch

    if compute.device.type == "cuda":
        return torch.cuda.get_device_name(compute.device)
    return f"cpu {processor_model()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def processor_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Vendor, family, model and stepping of the processor if Linux reports them, otherwise the platform's name.

    The marketing name is not enough: virtual machines report one name for different processors.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n", maxsplit=1)[0].splitlines()
    except OSError:  # not Linux
        lines = []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    named = [facts[key] for key in ("vendor_id", "model name") if facts.get(key)]
    numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model", "stepping") if facts.get(key)]
    return " ".join([*named, *numbers]) or platform.processor() or platform.machine()


def differences(current: Mapping[str, Any], previous: Mapping[str, Any], path: str = "") -> list[str]:
    """Differences between two nested sets of facts, as `group.name: previous -> current`."""
    found = []
    for key in sorted({*current, *previous}, key=str):
        name, new, old = f"{path}{key}", current.get(key), previous.get(key)
        if isinstance(new, Mapping) and isinstance(old, Mapping):
            found += differences(new, old, f"{name}.")
        elif new != old:
            found.append(f"{name}: {_shorten(old)} -> {_shorten(new)}")
    return found


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:16]}…"
