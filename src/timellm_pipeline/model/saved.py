"""Save and read a trained model as a folder: `config.json`, `model.safetensors` (only the trainable weights),
`scaler.json`, `linear.safetensors` and, if the model was calibrated, `intervals.safetensors`.

`config.json` is written last and contains the digests of the other files and of itself, so damage is always detected.
It contains the identity of the frozen backbone; the weights of the backbone are never copied.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from timellm_pipeline.errors import BackboneError, ModelError
from timellm_pipeline.files import is_link, move, remove_folder
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.folder import (
    CONFIG,
    FORMAT,
    LINEAR,
    SCALER,
    WEIGHTS,
    as_newest_format,
    find_damage,
    read_config,
)
from timellm_pipeline.model.intervals import INTERVALS, Intervals
from timellm_pipeline.parameters import (
    BackboneParams,
    DataParams,
    EvaluationParams,
    ModelParams,
    PromptParams,
    SplitParams,
    WindowParams,
)
from timellm_pipeline.series.identity import digest_of_file, sealed
from timellm_pipeline.series.names import list_names
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import forecast_channels

if TYPE_CHECKING:
    from torch import Tensor

    from timellm_pipeline.model.backbone import BackboneSource


class TrainedOn(BaseModel):
    """The file that a model was trained on.

    Attributes:
        path, sha256: path and digest of the file; None if unknown.
        data: parameters that the file was read with. Another file may need other parameters.
    """

    model_config = ConfigDict(frozen=True)

    path: str | None = None
    sha256: str | None = None
    data: DataParams


class ModelConfig(BaseModel):
    """Configuration of a saved model: everything needed to rebuild and to identify it.

    Attributes:
        backbone_identity: everything that affects the outputs of the backbone (`BackboneSource.identity`).
        backbone_files: digests of the weights and tokenizer of the backbone, to identify it at another location; None
            if unknown.
        alpha: weight of the network's output: forecasts are the linear part plus `alpha` times this output.
        alpha_reason: how `alpha` was chosen.
        seen_until: time stamp of the newest row that was used to train or to choose the model, with its UTC offset if
            the file had one.
        parameters: number of `trainable` and `frozen` weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: int = FORMAT
    package_version: str
    training_id: str
    content_id: str
    trained_on: TrainedOn
    split: SplitParams
    window: WindowParams
    prompt: PromptParams
    model: ModelParams
    backbone: BackboneParams
    evaluation: EvaluationParams
    precision: Literal["no", "bf16", "fp16"]
    backbone_identity: dict[str, Any]
    backbone_files: dict[str, str] | None = None
    alpha: float = Field(ge=0, le=1)
    alpha_reason: str
    description: str
    channels: list[str]
    frequency: str
    seen_until: str
    parameters: dict[str, int]
    best_step: int
    validation_mse: float | None

    @property
    def needed_channels(self) -> list[str]:
        """Channels that a forecast needs: all channels for `M`, the target for `S` and `MS`."""
        return forecast_channels(self.channels, self.window)

    def has_seen(self, stamp: pd.Timestamp) -> bool:
        """Whether the model may have been trained or chosen on a row with this time stamp, or on a later row.

        Args:
            stamp: as in the file, with its time zone if the file has one.
        """
        seen = pd.Timestamp(self.seen_until)
        if stamp.tzinfo is None or seen.tzinfo is None:  # a zone is unknown: only wall time can be compared
            stamp, seen = stamp.tz_localize(None), seen.tz_localize(None)
        return bool(stamp <= seen)


@dataclass(frozen=True)
class TrainedModel:
    """A trained model to be saved: plain tensors on the CPU, not a module."""

    config: ModelConfig
    weights: "dict[str, Tensor]"
    scaler: Scaler
    linear: LinearPart
    intervals: Intervals | None = None

    def write(self, folder: Path) -> None:
        """Write the files to a new folder. The config, with the digests of the other files, is written last.

        Raises ModelError for weights that are not finite numbers.
        """
        from safetensors.torch import save_file

        from timellm_pipeline.model.weights import refuse_not_finite

        refuse_not_finite(self.weights, folder)
        folder.mkdir(parents=True)
        save_file(self.weights, folder / WEIGHTS)
        (folder / SCALER).write_text(self.scaler.model_dump_json(indent=2), encoding="utf-8")
        (folder / LINEAR).write_bytes(self.linear.without_folds().as_bytes())
        if self.intervals is not None:
            (folder / INTERVALS).write_bytes(self.intervals.as_bytes())
        digests = {path.name: digest_of_file(path) for path in sorted(folder.iterdir())}
        content = sealed({**self.config.model_dump(mode="json"), "sha256": digests})
        (folder / CONFIG).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")

    def publish(self, folder: Path) -> None:
        """Write a new folder atomically. Raises the errors of `write`, and ModelError if the folder exists."""
        if folder.exists() or is_link(folder):
            raise ModelError("this folder already exists", where=str(folder), do="use the path of a new folder")
        partial = folder.with_name(f".partial-{folder.name}-{os.getpid()}")
        try:
            self.write(partial)
            move(partial, folder)
        finally:
            remove_folder(partial)


@dataclass(frozen=True)
class SavedModel:
    """A model folder whose files were verified. The weights are loaded by `weights`.

    Attributes:
        folder: the model folder.
        config: content of config.json.
        scaler: content of scaler.json.
        sha256: digests of the other files.
    """

    folder: Path
    config: ModelConfig
    scaler: Scaler
    sha256: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> "SavedModel":
        """The model in a folder, or in the subfolder `timellm_model` of a version folder.

        Raises ModelError if the folder is damaged, was changed, or has another format.
        """
        if not (folder / CONFIG).exists() and (folder / "timellm_model" / CONFIG).exists():
            folder = folder / "timellm_model"
        problem = find_damage(folder)
        if problem:
            raise ModelError(problem, where=str(folder), do="use another version, or train or publish again")
        content = as_newest_format(read_config(folder))
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
                f"cannot read config.json or scaler.json: {'.'.join(map(str, first['loc']))}: {first['msg']}",
                where=str(folder),
                do="use another version",
            ) from error
        if scaler.channels != config.channels:
            raise ModelError(
                f"scaler.json has {len(scaler.channels)} channels that differ from the {len(config.channels)} channels "
                "of config.json",
                where=str(folder),
                do="use another version",
            )
        return cls(folder, config, scaler, digests)

    def refuse_other_facts(self, panel: Panel) -> None:
        """Raise ModelError if the prompts of the model contain static columns that the series do not have."""
        needed, found = self.config.trained_on.data.static_columns, panel.source.static_columns
        if needed and tuple(needed) != found:
            raise ModelError(
                f"the prompts of the model contain the static columns {list_names(needed)}; the series have "
                f"{list_names(list(found)) or 'none'}",
                where=panel.source.path,
                do="read the file with the data.static_columns of the model, in the same order",
            )

    def weights(self) -> "dict[str, Tensor]":
        """Trainable weights, on the CPU. Raises ModelError for weights that are not finite numbers."""
        from timellm_pipeline.model.weights import read_finite

        return read_finite((self.folder / WEIGHTS).read_bytes(), self.folder / WEIGHTS)

    def linear(self) -> LinearPart:
        """The linear part. Raises ModelError if its shape differs from that of the windows."""
        window = self.config.window
        if LINEAR not in self.sha256:  # a model of format 1 or 2
            return LinearPart.mean_of_window(window.seq_len, window.pred_len)
        part = LinearPart.from_file(self.folder / LINEAR)
        if part.shared.shape != (window.seq_len, window.pred_len):
            raise ModelError(
                f"the linear part has the shape {part.shared.shape}, not {(window.seq_len, window.pred_len)}",
                where=str(self.folder / LINEAR),
                do="use another version, or train again",
            )
        return part

    def intervals(self) -> Intervals | None:
        """The prediction intervals, or None if the model was not calibrated.

        Raises ModelError if their shape differs from that of the forecasts.
        """
        path = self.folder / INTERVALS
        if INTERVALS not in self.sha256:
            return None
        return Intervals.from_file(path, len(self.config.channels), self.config.window.pred_len)

    def find_backbone(self, source: "BackboneSource", place: BackboneParams | None) -> BackboneParams:
        """Parameters of the training backbone: at its location in training, or at the location `place`.

        A backbone matches if its identity, or the digests of its weights and its tokenizer, are those of training. So
        a hub id may be replaced by a folder with the same files, and a folder by a hub id.

        Raises ModelError if no location has a matching backbone.
        """
        trained = self.config.backbone
        candidates = [trained]
        if place is not None and place.name not in (trained.name, "none"):
            candidates.append(trained.model_copy(update={"name": place.name, "revisions": place.revisions}))
            # The identity of a hub id is its commit, which does not tell whether its files can be had offline.
            candidates.sort(key=source.needs_download)
        problems = []
        for candidate in candidates:
            try:
                if source.identity(candidate) == self.config.backbone_identity:
                    return candidate
                files = self.config.backbone_files and source.file_digests(candidate, download=True)
                if files and files == self.config.backbone_files:
                    return candidate
                problems.append(f"the backbone `{candidate.name}` is not the one this model was trained with")
            except BackboneError as error:
                problems.append(error.what)
        raise ModelError(
            "; ".join(problems),
            where=f"{self.folder}, backbone_identity",
            do="restore the backbone files, give their location with --params backbone.name=PATH, or train again",
        )
