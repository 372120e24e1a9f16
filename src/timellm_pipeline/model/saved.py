"""A trained model as a folder: `config.json`, `model.safetensors` (trainable weights alone), `scaler.json`, and
`intervals.safetensors` where the model was calibrated.

`config.json` is written last and holds the digests of the others, so a folder is whole or recognisably torn.
The frozen backbone is named there by its identity; its weights are never copied.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from timellm_pipeline.errors import BackboneError, ModelError
from timellm_pipeline.model.intervals import HalfWidths
from timellm_pipeline.parameters import (
    BackboneParams,
    DataParams,
    EvaluationParams,
    ModelParams,
    PromptParams,
    SplitParams,
    WindowParams,
)
from timellm_pipeline.series.identity import digest_of_file
from timellm_pipeline.series.scaling import Scaler

if TYPE_CHECKING:
    from torch import Tensor

    from timellm_pipeline.model.backbone import BackboneSource
    from timellm_pipeline.model.compute import Compute
    from timellm_pipeline.model.timellm import TimeLLM

FORMAT = 1
WEIGHTS, SCALER, CONFIG = "model.safetensors", "scaler.json", "config.json"
INTERVALS = "intervals.safetensors"


class ModelConfig(BaseModel):
    """Everything that is needed to build the model again and to know what it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: int = FORMAT
    package_version: str
    training_id: str
    content_id: str
    data: DataParams
    split: SplitParams
    window: WindowParams
    prompt: PromptParams
    model: ModelParams
    backbone: BackboneParams
    evaluation: EvaluationParams
    precision: Literal["no", "bf16", "fp16"]
    backbone_identity: dict[str, Any]
    description: str
    channels: list[str]
    frequency: str
    seen_until: str
    parameters: dict[str, int]
    best_step: int
    validation_mse: float | None


@dataclass(frozen=True)
class TrainedModel:
    """What training hands over to be saved: plain tensors on the CPU, not a module."""

    config: ModelConfig
    weights: "dict[str, Tensor]"
    scaler: Scaler
    intervals: HalfWidths | None = None

    def write(self, folder: Path) -> None:
        """Write the files into a new folder, the config with the others' digests last."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True)
        save_file(self.weights, folder / WEIGHTS)
        (folder / SCALER).write_text(self.scaler.model_dump_json(indent=2), encoding="utf-8")
        if self.intervals is not None:
            (folder / INTERVALS).write_bytes(intervals_as_bytes(self.intervals))
        digests = {path.name: digest_of_file(path) for path in sorted(folder.iterdir())}
        content = {**self.config.model_dump(mode="json"), "sha256": digests}
        (folder / CONFIG).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


@dataclass(frozen=True)
class SavedModel:
    """A model folder that has been read and found whole; the weights are loaded only when asked for."""

    folder: Path
    config: ModelConfig
    scaler: Scaler

    @classmethod
    def read(cls, folder: Path) -> "SavedModel":
        """The model in a folder, or in the folder of a version around it.

        Raises ModelError for a folder that is torn, changed, or of another format.
        """
        if not (folder / CONFIG).exists() and (folder / "timellm_model" / CONFIG).exists():
            folder = folder / "timellm_model"
        problem = find_damage(folder)
        if problem:
            raise ModelError(problem, where=str(folder), do="use another version, or train or publish again")
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        del content["sha256"]
        if content["format"] != FORMAT:
            raise ModelError(
                f"the model has format {content['format']}; this version reads {FORMAT}",
                where=str(folder),
                do="use the package version that wrote it (package_version in config.json)",
            )
        try:
            config = ModelConfig.model_validate(content)
            scaler = Scaler.model_validate_json((folder / SCALER).read_text(encoding="utf-8"))
        except ValidationError as error:
            raise ModelError(
                f"config.json or scaler.json cannot be read: {error}",
                where=str(folder),
                do="use another version",
            ) from error
        return cls(folder, config, scaler)

    def digests(self) -> dict[str, str]:
        """sha256 of the files beside the config."""
        content = json.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
        digests: dict[str, str] = content["sha256"]
        return digests

    def weights(self) -> "dict[str, Tensor]":
        """The trainable weights, on the CPU."""
        from safetensors.torch import load

        return load((self.folder / WEIGHTS).read_bytes())

    def intervals(self) -> HalfWidths | None:
        """Half-widths of the prediction intervals, or None for a model that was not calibrated."""
        from safetensors.numpy import load

        path = self.folder / INTERVALS
        return load(path.read_bytes())["half_widths"] if path.exists() else None

    def load(
        self,
        source: "BackboneSource",
        compute: "Compute",
        place: BackboneParams | None = None,
        description: str | None = None,
    ) -> "TimeLLM":
        """The model with its backbone, in evaluation mode on the device.

        Args:
            place: where else the backbone may lie, when it is not where it was in training.
            description: what the prompt says of the series, where it is another series than in training.

        Raises BackboneError or ModelError when the backbone is missing or is another one than in training.
        """
        from timellm_pipeline.model.timellm import TimeLLM

        config = self.config
        backbone = self._find_backbone(source, place)
        loaded = source.load(backbone, compute)
        words = config.description if description is None else description
        model = TimeLLM.around(config.window, config.prompt, config.model, loaded, words)
        model.load_trainables(self.weights())
        model.saved, model.compute = self, compute
        return model.to(compute.device).eval()

    def _find_backbone(self, source: "BackboneSource", place: BackboneParams | None) -> BackboneParams:
        """The backbone with the identity of training: where it was then, or else in the place given now."""
        ours = self.config.backbone
        places = [ours]
        if place is not None and place.name not in (ours.name, "none"):
            places.append(ours.model_copy(update={"name": place.name, "revisions": place.revisions}))
        problem = f"the backbone `{ours.name}` is not the one this model was trained with"
        for candidate in places:
            try:
                if source.identity(candidate) == self.config.backbone_identity:
                    return candidate
            except BackboneError as error:
                problem = error.what if candidate is ours else problem
        raise ModelError(
            problem,
            where=f"{self.folder}, backbone_identity",
            do="put the same backbone files in place, say where they are (--params backbone.name=PATH), or train again",
        )


def intervals_as_bytes(widths: HalfWidths) -> bytes:
    """Half-widths as the content of a safetensors file."""
    from safetensors.numpy import save

    return save({"half_widths": np.ascontiguousarray(widths)})


def find_damage(folder: Path) -> str | None:
    """What is wrong with a model folder's files, or None if they are whole."""
    try:
        digests = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["sha256"]
    except FileNotFoundError:
        return "config.json is missing"
    except (OSError, ValueError, KeyError, TypeError):
        return "config.json cannot be read"
    for name in {WEIGHTS, SCALER, *digests}:
        if not (folder / name).is_file():
            return f"{name} is missing"
        if digest_of_file(folder / name) != digests.get(name):
            return f"{name} is not the file that was written"
    return None
