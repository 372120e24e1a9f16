"""The user-facing Time-LLM model: load a trained model, forecast a table, save the model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from timellm_pipeline.diagnosis import diagnosed
from timellm_pipeline.errors import ModelError, PromptError
from timellm_pipeline.model.backbone import BackboneSource, LoadedBackbone
from timellm_pipeline.model.batches import BatchSource
from timellm_pipeline.model.compute import Compute, Precision, compute_as_trained, resolve_compute
from timellm_pipeline.model.future import ArrayWindows, forecast_table, panel_of_frame, select_windows
from timellm_pipeline.model.inference import forecast_batches
from timellm_pipeline.model.network import Network
from timellm_pipeline.model.prompt import PromptTokens, PromptWriter
from timellm_pipeline.model.saved import WEIGHTS, SavedModel, TrainedModel, shapes_in
from timellm_pipeline.model.sizes import trainable_shapes
from timellm_pipeline.model.upstream import from_upstream_names
from timellm_pipeline.model.weights import compare_shapes
from timellm_pipeline.parameters import BackboneParams, ModelParams, PromptParams, WindowParams, parse_parameters
from timellm_pipeline.series.panel import Panel

if TYPE_CHECKING:
    import pandas as pd

ARGUMENTS = "TimeLLM.forecast(origins, levels, batch_size, gaps)"  # where invalid values are, in an error


class TimeLLM:
    """A network with its prompt writer, its device, and the model folder it was loaded from.

    Args:
        window, prompt, model: the parameter groups with these names.
        backbone: the frozen language model, or None for the ablation without one (Tan et al. 2024).
        tokenizer: fast tokenizer of the backbone.
        description: description of the series in the prompt.
        compute: device and precision. By default, the CPU and float32.
        saved: model folder of the weights, with scaler and channels.

    Attributes:
        network: the `nn.Module`.
        writer: writes the prompts of windows; None without a language model.

    Raises:
        PromptError: if prompt and patches need more positions than the backbone has.
        BackboneError: if the hidden states of the backbone depend on padding.
    """

    def __init__(
        self,
        window: WindowParams,
        prompt: PromptParams,
        model: ModelParams,
        backbone: nn.Module | None,
        tokenizer: Any = None,
        description: str = "",
        *,
        compute: Compute | None = None,
        saved: SavedModel | None = None,
    ) -> None:
        self.writer: PromptWriter | None = None
        if backbone is not None:
            self.writer = PromptWriter(tokenizer, prompt, window, description)
            _refuse_long_prompt(self.writer, window, backbone)
        self.network = Network(window, model, backbone, self.writer.shared_ids if self.writer else ())
        self.compute = compute or Compute()
        self.saved = saved
        self.network.to(self.compute.device)

    @classmethod
    def around(
        cls,
        window: WindowParams,
        prompt: PromptParams,
        model: ModelParams,
        loaded: LoadedBackbone,
        description: str,
        compute: Compute | None = None,
    ) -> "TimeLLM":
        """A new, untrained model with a loaded backbone."""
        return cls(window, prompt, model, loaded.model, loaded.tokenizer, description, compute=compute)

    @classmethod
    @diagnosed()
    def load(cls, folder: str | Path, backbone: str | None = None, precision: Precision | None = None) -> "TimeLLM":
        """A trained model from its folder, in evaluation mode, on the GPU if there is one.

        Args:
            folder: model folder, or the version folder that contains it.
            backbone: folder or hub id (`org/name@commit`) of the backbone, if its location differs from training.
            precision: `no`, `bf16` or `fp16`. By default, as in training if this device supports it.

        Raises ModelError if the folder is damaged or contains no model, BackboneError if the backbone is missing.
        """
        saved = SavedModel.read(Path(folder))
        place = None
        if backbone is not None:
            name, _, commit = backbone.partition("@")
            revisions = {name: commit} if commit else saved.config.backbone.revisions
            place = BackboneParams(name=name, revisions=revisions)
        compute = compute_as_trained(saved.config.precision) if precision is None else resolve_compute(precision)
        return cls.from_saved(saved, BackboneSource(), compute, place)

    @classmethod
    def from_saved(
        cls,
        saved: SavedModel,
        source: BackboneSource,
        compute: Compute,
        place: BackboneParams | None = None,
        description: str | None = None,
    ) -> "TimeLLM":
        """A trained model with its backbone, in evaluation mode on the device of `compute`.

        Args:
            saved: the model folder.
            source: loads the backbone.
            compute: device and precision.
            place: another location of the backbone, if it is not at the location of training.
            description: description of the series in the prompt, if the series differs from training.

        Raises BackboneError or ModelError if the backbone is missing or differs from training.
        """
        config = saved.config
        backbone = saved.find_backbone(source, place)
        # Shapes come from the file header and are checked first: a wrong config could allocate a model of any size.
        expected = trainable_shapes(config.window, config.model, source.shape(backbone))
        compare_shapes(expected, shapes_in(saved.folder / WEIGHTS), str(saved.folder))
        loaded = source.load(backbone, compute)
        text = config.description if description is None else description
        model = cls(
            config.window,
            config.prompt,
            config.model,
            loaded.model,
            loaded.tokenizer,
            text,
            compute=compute,
            saved=saved,
        )
        model.network.load_trainables(saved.weights())
        return model.eval()

    @diagnosed()
    def save(self, folder: str | Path) -> None:
        """Save the model to a new folder, atomically.

        Raises ModelError if the folder exists, if weights are not finite numbers, or if the model was not loaded from a
        folder: such a model has no scaler and no channels.
        """
        saved = self._saved()
        weights = {name: weight.detach().cpu().clone() for name, weight in self.network.trainables().items()}
        TrainedModel(saved.config, weights, saved.scaler, saved.intervals()).publish(Path(folder))

    @diagnosed()
    def forecast(
        self,
        frame: "pd.DataFrame",
        origins: int = 1,
        levels: Iterable[int] = (80, 95),
        batch_size: int = 64,
        gaps: Literal["error", "interpolate", "drop_windows"] | None = None,
    ) -> "pd.DataFrame":
        """Forecasts of the `pred_len` values after the last row of a table, for every channel, in original units.

        Args:
            frame: wide: time stamps and one column per channel; or long: time stamp, `channel`, `value` (or `ds`,
                `unique_id`, `y`). Columns that the model does not need are ignored.
            origins: number of forecasts. Further origins are earlier rows, `pred_len` rows apart.
            levels: levels of the prediction intervals in percent, of 50, 60, 70, 80, 90, 95, 98, 99.
            batch_size: windows per batch.
            gaps: handling of missing rows, as `data.gaps`. By default, as in training.

        Returns:
            `channel, window_end, step, timestamp, forecast`, `lower_L`, `upper_L` for each level if the model was
            calibrated, and `window_filled`: whether the window contains filled rows.

        Raises SeriesError if the model cannot forecast the table, ParameterError for an invalid argument, ModelError if
        the model has no scaler.
        """
        saved = self._saved()
        wanted = {"origins": origins, "levels": levels, "batch_size": batch_size}
        settings = parse_parameters({"forecast": wanted, "data": {"gaps": gaps or "error"}}, ARGUMENTS).forecast
        panel = panel_of_frame(frame, saved, gaps)
        return self.forecast_panel(panel, settings.origins, settings.levels, settings.batch_size)

    def forecast_panel(self, panel: Panel, origins: int, levels: Iterable[int], batch_size: int) -> "pd.DataFrame":
        """As `forecast`, for validated series in original units (`series.prepare.read_series`)."""
        saved = self._saved()
        selected = select_windows(panel, saved, origins)
        forecasts = self.forecast_array(selected.inputs, batch_size)
        return forecast_table(selected, forecasts, saved, levels)

    def forecast_array(
        self, inputs: Float[np.ndarray, "windows seq_len"], batch_size: int
    ) -> Float[np.ndarray, "windows pred_len"]:
        """Forecasts of windows, in scaled units."""
        batches = [forecast for _, forecast, _ in self.forecast_windows(ArrayWindows(inputs), batch_size)]
        return np.concatenate(batches).astype(np.float64)

    def forecast_windows(
        self,
        windows: BatchSource,
        batch_size: int,
        which: np.ndarray | None = None,
        label: str = "forecasts",
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Iterator over (window numbers, forecasts, targets) of batches, in scaled units, in evaluation mode.

        Args:
            windows: windows to forecast.
            batch_size: windows per batch.
            which: numbers of the windows to forecast. By default, all windows.
            label: label of the progress bar.
        """
        return forecast_batches(self.network, self.writer, self.compute, windows, batch_size, which, label)

    def __call__(
        self, x: Float[Tensor, "batch seq_len"], prompts: PromptTokens | None = None
    ) -> Float[Tensor, "batch pred_len"]:
        """Forecasts [batch, pred_len] in scaled units. Each depends only on its own window.

        Args:
            x: windows [batch, seq_len] in scaled units.
            prompts: prompt tokens of the windows. By default, they are computed from `x`.
        """
        if prompts is None and self.writer is not None:
            prompts = self.writer.tokens(x.detach().float().cpu().numpy())
        forecast: Tensor = self.network(x, prompts)
        return forecast

    def load_upstream_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of a published-code checkpoint (needs `model.prototypes: vocabulary`).

        Raises ModelError with the weights that are missing, unknown or have another shape.
        """
        self.network.load_trainables(from_upstream_names(state))

    def train(self, mode: bool = True) -> "TimeLLM":
        """The model, with the trainable layers in training mode if `mode`, otherwise in evaluation mode."""
        self.network.train(mode)
        return self

    def eval(self) -> "TimeLLM":
        """The model in evaluation mode."""
        return self.train(False)

    def to(self, device: torch.device | str) -> "TimeLLM":
        """The model, moved to a device."""
        self.compute = replace(self.compute, device=torch.device(device))
        self.network.to(self.compute.device)
        return self

    def _saved(self) -> SavedModel:
        if self.saved is None:
            raise ModelError(
                "this model was not loaded from a folder: it has no scaler and no channels",
                where="TimeLLM",
                do="train it with `kedro run`, or load a trained model: TimeLLM.load(folder)",
            )
        return self.saved


def _refuse_long_prompt(writer: PromptWriter, window: WindowParams, backbone: nn.Module) -> None:
    config: Any = backbone.config
    positions = getattr(config, "max_position_embeddings", None)
    needed = writer.longest_probe + window.patches_per_window
    if positions is not None and needed > positions:
        raise PromptError(
            f"prompt ({writer.longest_probe} tokens) and patches ({window.patches_per_window}) need {needed} "
            f"positions; the backbone has {positions}",
            where="prompt.description, window.stride",
            do="shorten prompt.description, or raise window.stride so that a window has fewer patches",
        )
