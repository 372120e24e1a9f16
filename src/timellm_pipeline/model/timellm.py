"""The user-facing Time-LLM model: load a trained model, forecast a table, save the model.

forecast = linear part + alpha * network
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from timellm_pipeline.diagnosis import diagnosed
from timellm_pipeline.errors import ModelError
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource, LoadedBackbone
from timellm_pipeline.model.compute import Compute, Precision, compute_as_trained, resolve_compute
from timellm_pipeline.model.folder import WEIGHTS, shapes_in
from timellm_pipeline.model.forecast_tables import forecast_tables
from timellm_pipeline.model.future import panel_of_frame
from timellm_pipeline.model.inference import Forecaster
from timellm_pipeline.model.network import Network
from timellm_pipeline.model.parts import Outputs
from timellm_pipeline.model.prompt import PromptWriter
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.model.sizes import trainable_shapes
from timellm_pipeline.model.upstream import from_upstream_names
from timellm_pipeline.model.weights import compare_shapes
from timellm_pipeline.model.worker_outputs import WorkerOutputs
from timellm_pipeline.parameters import (
    BackboneParams,
    ModelParams,
    PromptParams,
    WindowParams,
    WorkersParams,
    parse_parameters,
)
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.workers.elastic import number_of_workers

if TYPE_CHECKING:
    import pandas as pd

ARGUMENTS = "TimeLLM.forecast(origins, levels, batch_size, gaps)"  # where invalid values are, in an error


class TimeLLM(Forecaster):
    """A linear part and a network that corrects it, with prompt writer, device, and the folder it was loaded from.

    Args:
        window, prompt, model: the parameter groups with these names.
        backbone: the frozen language model, or None for the ablation without one (Tan et al. 2024).
        tokenizer: fast tokenizer of the backbone.
        description: description of the series in the prompt.
        linear: the linear part. By default, the mean of the window.
        alpha: weight of the network's output.
        compute: device and precision. By default, the CPU and float32.
        saved: model folder of the weights, with scaler and channels.

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
        linear: LinearPart | None = None,
        alpha: float = 1.0,
        compute: Compute | None = None,
        saved: SavedModel | None = None,
    ) -> None:
        writer = None
        if backbone is not None:
            positions = getattr(backbone.config, "max_position_embeddings", None)
            writer = PromptWriter(tokenizer, prompt, window, description, positions)
        network = Network(window, model, backbone, writer.shared_ids if writer else ())
        linear = linear or LinearPart.mean_of_window(window.seq_len, window.pred_len)
        super().__init__(linear, network, writer, compute or Compute(), alpha)
        self.saved = saved

    @classmethod
    def around(
        cls,
        window: WindowParams,
        prompt: PromptParams,
        model: ModelParams,
        loaded: LoadedBackbone,
        description: str,
        compute: Compute | None = None,
        linear: LinearPart | None = None,
    ) -> "TimeLLM":
        """A new, untrained model with a loaded backbone."""
        return cls(window, prompt, model, loaded.model, loaded.tokenizer, description, linear=linear, compute=compute)

    @classmethod
    @diagnosed()
    def load(
        cls,
        folder: str | Path,
        backbone: str | None = None,
        precision: Precision | None = None,
        correction: bool = False,
    ) -> "TimeLLM":
        """A trained model from its folder, in evaluation mode, on the GPU if there is one.

        Args:
            folder: model folder, or the version folder that contains it.
            backbone: folder or hub id (`org/name@commit`) of the backbone, if its location differs from training.
            precision: `no`, `bf16` or `fp16`. By default, as in training if this device supports it.
            correction: load the network even if `alpha` is 0 and forecasts do not use it.

        Raises ModelError if the folder is damaged or contains no model, BackboneError if the backbone is missing.
        """
        saved = SavedModel.read(Path(folder))
        place = None
        if backbone is not None:
            name, _, commit = backbone.partition("@")
            revisions = {name: commit} if commit else saved.config.backbone.revisions
            place = BackboneParams(name=name, revisions=revisions)
        compute = compute_as_trained(saved.config.precision) if precision is None else resolve_compute(precision)
        return cls.from_saved(saved, BackboneSource(), compute, place, correction=correction)

    @classmethod
    def from_saved(
        cls,
        saved: SavedModel,
        source: BackboneSource,
        compute: Compute,
        place: BackboneParams | None = None,
        description: str | None = None,
        correction: bool = False,
        workers: WorkersParams | None = None,
    ) -> "TimeLLM":
        """A trained model in evaluation mode on the device of `compute`, with its backbone if forecasts use it.

        Args:
            saved: the model folder.
            source: loads the backbone.
            compute: device and precision.
            place: another location of the backbone, if it is not at the location of training.
            description: description of the series in the prompt, if the series differs from training.
            correction: load the network even if `alpha` is 0 and forecasts do not use it.
            workers: worker processes that load and run the network instead of this process, if they are several.

        Raises BackboneError or ModelError if the backbone is missing or differs from training.
        """
        config = saved.config
        if config.alpha == 0 and not correction:
            return cls._without_network(saved, compute)
        backbone = saved.find_backbone(source, place)
        # Shapes come from the file header and are checked first: a wrong config could allocate a model of any size.
        expected = trainable_shapes(config.window, config.model, source.shape(backbone))
        compare_shapes(expected, shapes_in(saved.folder / WEIGHTS), str(saved.folder))
        if workers is not None and number_of_workers(workers) > 1:
            return cls._without_network(
                saved, compute, WorkerOutputs(saved.folder, source, backbone, description, workers)
            )
        loaded = source.load(backbone, compute)
        text = config.description if description is None else description
        model = cls(
            config.window,
            config.prompt,
            config.model,
            loaded.model,
            loaded.tokenizer,
            text,
            linear=saved.linear(),
            alpha=config.alpha,
            compute=compute,
            saved=saved,
        )
        model.network.load_trainables(saved.weights())
        model.eval()
        return model

    @classmethod
    def _without_network(cls, saved: SavedModel, compute: Compute, outputs: Outputs | None = None) -> "TimeLLM":
        """A trained model whose network is not loaded in this process."""
        model = cls.__new__(cls)
        Forecaster.__init__(model, saved.linear(), None, None, compute, saved.config.alpha, outputs)
        model.saved = saved
        return model

    @diagnosed()
    def save(self, folder: str | Path) -> None:
        """Save the model to a new folder, atomically.

        Raises ModelError if the folder exists, if weights are not finite numbers, or if the model was not loaded from a
        folder: such a model has no scaler and no channels.
        """
        saved = self._saved()
        weights = saved.weights()
        if self._network is not None:
            weights = {name: weight.detach().cpu().clone() for name, weight in self.network.trainables().items()}
        TrainedModel(saved.config, weights, saved.scaler, self.linear, saved.intervals()).publish(Path(folder))

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
        import pandas as pd

        tables = forecast_tables(self._saved(), self.forecast_windows, panel, origins, levels, batch_size)
        return pd.concat(tables, ignore_index=True)

    def load_upstream_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of a published-code checkpoint (needs `model.prototypes: vocabulary`).

        Raises ModelError with the weights that are missing, unknown or have another shape.
        """
        self.network.load_trainables(from_upstream_names(state))

    def _saved(self) -> SavedModel:
        if self.saved is None:
            raise ModelError(
                "this model was not loaded from a folder: it has no scaler and no channels",
                where="TimeLLM",
                do="train it with `kedro run`, or load a trained model: TimeLLM.load(folder)",
            )
        return self.saved
