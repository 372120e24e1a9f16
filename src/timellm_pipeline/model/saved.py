"""A trained model as a folder: `config.json`, `model.safetensors` (trainable weights alone), `scaler.json`, and
`intervals.safetensors` where the model was calibrated.

`config.json` is written last and holds the digests of the others and of itself, so damage is always detected.
The frozen backbone is named there by its identity; its weights are never copied.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from timellm_pipeline.errors import BackboneError, ModelError
from timellm_pipeline.files import is_link, move, remove_folder
from timellm_pipeline.model.intervals import HalfWidths
from timellm_pipeline.model.sizes import trainable_shapes
from timellm_pipeline.parameters import (
    BackboneParams,
    DataParams,
    EvaluationParams,
    ModelParams,
    PromptParams,
    SplitParams,
    WindowParams,
)
from timellm_pipeline.parameters.forecast import LEVELS
from timellm_pipeline.series.identity import digest_of_file, sealed, unsealed
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
        """Write the files into a new folder, the config with the others' digests last.

        Raises ModelError for weights that are not finite numbers.
        """
        from safetensors.torch import save_file

        from timellm_pipeline.model.weights import refuse_not_finite

        refuse_not_finite(self.weights, folder)
        folder.mkdir(parents=True)
        save_file(self.weights, folder / WEIGHTS)
        (folder / SCALER).write_text(self.scaler.model_dump_json(indent=2), encoding="utf-8")
        if self.intervals is not None:
            (folder / INTERVALS).write_bytes(intervals_as_bytes(self.intervals))
        digests = {path.name: digest_of_file(path) for path in sorted(folder.iterdir())}
        content = sealed({**self.config.model_dump(mode="json"), "sha256": digests})
        (folder / CONFIG).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")

    def publish(self, folder: Path) -> None:
        """Write a new folder, complete or not at all. Raises ModelError, also when the folder exists already."""
        if folder.exists() or is_link(folder):
            raise ModelError("this folder exists already", where=str(folder), do="give the path of a new folder")
        partial = folder.with_name(f".partial-{folder.name}-{os.getpid()}")
        try:
            self.write(partial)
            move(partial, folder)
        finally:
            remove_folder(partial)


@dataclass(frozen=True)
class SavedModel:
    """A model folder that has been read and found undamaged; the weights are loaded only when asked for.

    Attributes:
        sha256: digests of the files beside the config.
    """

    folder: Path
    config: ModelConfig
    scaler: Scaler
    sha256: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> "SavedModel":
        """The model in a folder, or in the folder of a version around it.

        Raises ModelError for a folder that is damaged, changed, or of another format.
        """
        if not (folder / CONFIG).exists() and (folder / "timellm_model" / CONFIG).exists():
            folder = folder / "timellm_model"
        problem = find_damage(folder)
        if problem:
            raise ModelError(problem, where=str(folder), do="use another version, or train or publish again")
        content = _read_config(folder)
        digests = content.pop("sha256")
        if content.get("format") != FORMAT:
            raise ModelError(
                f"the model has format {content.get('format')}; this version reads {FORMAT}",
                where=str(folder),
                do="use the package version that wrote it (package_version in config.json)",
            )
        try:
            config = ModelConfig.model_validate(content)
            scaler = Scaler.model_validate_json((folder / SCALER).read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            raise ModelError(
                f"config.json or scaler.json cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}",
                where=str(folder),
                do="use another version",
            ) from error
        if scaler.channels != config.channels:
            raise ModelError(
                f"scaler.json is of {len(scaler.channels)} channels and config.json of {len(config.channels)} others",
                where=str(folder),
                do="use another version",
            )
        return cls(folder, config, scaler, digests)

    def weights(self) -> "dict[str, Tensor]":
        """The trainable weights, on the CPU. Raises ModelError for weights that are not finite numbers."""
        from timellm_pipeline.model.weights import read_finite

        return read_finite((self.folder / WEIGHTS).read_bytes(), self.folder / WEIGHTS)

    def intervals(self) -> HalfWidths | None:
        """Half-widths of the prediction intervals, or None for a model that was not calibrated.

        Raises ModelError for half-widths of another shape than this model's forecasts.
        """
        path = self.folder / INTERVALS
        if INTERVALS not in self.sha256:
            return None
        return intervals_from_bytes(path, len(self.config.channels), self.config.window.pred_len)

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
        from timellm_pipeline.model.weights import compare_shapes

        config = self.config
        backbone = self._find_backbone(source, place)
        # From the file's header: a config of other sizes must not make us build a model of any size.
        expected = trainable_shapes(config.window, config.model, source.shape(backbone))
        compare_shapes(expected, shapes_in(self.folder / WEIGHTS), str(self.folder))
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


def intervals_from_bytes(path: Path, num_channels: int, pred_len: int) -> HalfWidths:
    """Half-widths from a safetensors file. Raises ModelError for a damaged file or another shape."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        widths = load(path.read_bytes())["half_widths"]
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"the prediction intervals cannot be read: {error}", where=str(path), do="restore the file, or train again"
        ) from error
    if widths.shape != (len(LEVELS), num_channels, pred_len):
        raise ModelError(
            f"the prediction intervals are of shape {widths.shape}, not {(len(LEVELS), num_channels, pred_len)}",
            where=str(path),
            do="restore the file, or train again",
        )
    return np.asarray(widths)


def shapes_in(path: Path) -> dict[str, list[int]]:
    """The shape of each tensor in a safetensors file, from its header. Raises ModelError for a damaged header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"the weights cannot be read: {error}", where=str(path), do="use another version, or train again"
        ) from error


def find_damage(folder: Path) -> str | None:
    """What is wrong with a model folder's files, or None if they are as written."""
    try:
        digests = _read_config(folder)["sha256"]
        if not isinstance(digests, dict):
            raise TypeError
    except FileNotFoundError:
        return "config.json is missing"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"config.json cannot be used ({error or type(error).__name__})"
    for name in {WEIGHTS, SCALER, *digests}:
        if Path(name).name != name:
            return f"config.json names a file outside the folder, {name}"
        if not (folder / name).is_file():
            return f"{name} is missing"
        if digest_of_file(folder / name) != digests.get(name):
            return f"{name} is not the file that was written"
    return None


def _read_config(folder: Path) -> dict[str, Any]:
    """The content of config.json. Raises OSError, ValueError."""
    return unsealed(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
