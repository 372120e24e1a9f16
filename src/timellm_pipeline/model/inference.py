"""Inference: outputs of the network for windows, batch by batch, and a model's forecasts with them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from timellm_pipeline.errors import ModelError
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.array_windows import ArrayWindows, in_order
from timellm_pipeline.model.batches import Batch, BatchMaker, load_batches
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.network import Network
from timellm_pipeline.model.parts import Outputs, Parts, forecast_parts
from timellm_pipeline.model.prompt import PromptTokens, PromptWriter
from timellm_pipeline.series.sources import BatchSource, SeriesWindows
from timellm_pipeline.workers.group import WorkerGroup


def network_outputs(
    network: Network, writer: PromptWriter | None, compute: Compute, windows: BatchSource, batch_size: int
) -> Iterator[Float[np.ndarray, "batch pred_len"]]:
    """Iterator over the outputs of a network for each batch. Workers of a group share the batches, and each gets all.

    Args:
        network: the network, on the device of `compute`; it is set to evaluation mode.
        writer: prompt writer; None without a language model.
        compute: device and precision.
        windows: windows less the effects of known columns.
        batch_size: windows per batch; the last batch may be short.
    """
    group, batches = WorkerGroup.current(), in_order(len(windows), batch_size)
    for _, output in own_outputs(network, writer, compute, windows, batch_size):
        yield from group.gather(output)[: len(list(itertools.islice(batches, group.size)))]


def own_outputs(
    network: Network, writer: PromptWriter | None, compute: Compute, windows: BatchSource, batch_size: int
) -> Iterator[tuple[Int[np.ndarray, "batch"], Float[np.ndarray, "batch pred_len"]]]:
    """Iterator over window numbers and outputs of the batches that this worker runs. Arguments as `network_outputs`.

    All workers of a group run equally many batches, because layers that are shared are gathered by all of them: in the
    last round, a worker may repeat the batch of another.
    """
    group = WorkerGroup.current()

    def own() -> Iterator[np.ndarray]:
        batches = in_order(len(windows), batch_size)
        while share := list(itertools.islice(batches, group.size)):
            yield share[group.rank % len(share)]

    network.eval()
    for batch in load_batches(BatchMaker(windows, writer), own()):
        yield batch.which, _run(network, compute, batch)


class Forecaster:
    """Forecasts windows in scaled units: the linear part plus `alpha` times the output of the network.

    Args:
        linear: the linear part.
        network: the network, moved to the device of `compute`; None if `alpha` is 0 and it was not loaded.
        writer: writes the prompts of windows; None without a language model.
        compute: device and precision.
        alpha: weight of the network's output.
        outputs: computes outputs of the network that is not loaded here, but by worker processes.
    """

    def __init__(
        self,
        linear: LinearPart,
        network: Network | None,
        writer: PromptWriter | None,
        compute: Compute,
        alpha: float,
        outputs: Outputs | None = None,
    ) -> None:
        self.linear, self.writer, self.compute, self.alpha = linear, writer, compute, alpha
        self._given_outputs = outputs
        self._network = None if network is None else network.to(compute.device)

    @property
    def network(self) -> Network:
        """The `nn.Module`. Raises ModelError if the model was loaded without it."""
        if self._network is None:
            raise ModelError(
                "the network of this model was not loaded: alpha is 0, or worker processes run it",
                where="TimeLLM",
                do="load it with its network: TimeLLM.load(folder, correction=True)",
            )
        return self._network

    def forecast_array(
        self,
        inputs: Float[np.ndarray, "windows seq_len"],
        batch_size: int,
        series: Sequence[str] | None = None,
    ) -> Float[np.ndarray, "windows pred_len"]:
        """Forecasts of windows, in scaled units.

        Args:
            inputs: windows in scaled units.
            batch_size: windows per batch.
            series: id of the series of each window. By default, the series are unknown.
        """
        return self.forecast_all(ArrayWindows.of(inputs, series), batch_size)

    def forecast_all(self, windows: SeriesWindows, batch_size: int) -> Float[np.ndarray, "windows pred_len"]:
        """Forecasts of all windows, in scaled units."""
        batches = [forecast for _, forecast, _ in self.forecast_windows(windows, batch_size)]
        return np.concatenate(batches).astype(np.float64)

    def forecast_windows(
        self,
        windows: SeriesWindows,
        batch_size: int,
        label: str = "forecasts",
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Iterator over (window numbers, forecasts, targets) of batches, in scaled units, in evaluation mode.

        Args:
            windows: windows to forecast.
            batch_size: windows per batch.
            label: label of the progress bar.
        """
        outputs = None if self.alpha == 0 else self._outputs()
        for batch in forecast_parts(self.linear, outputs, windows, batch_size, label):
            yield batch.which, batch.forecast(self.alpha), batch.truth

    def forecast_parts(self, windows: SeriesWindows, batch_size: int, label: str = "forecasts") -> Iterator[Parts]:
        """As `forecast_windows`, with linear part and correction apart. Needs the network."""
        return forecast_parts(self.linear, self._outputs(), windows, batch_size, label)

    def _outputs(self) -> Outputs:
        """Computes outputs of the network, in this process or in worker processes."""
        return self._given_outputs or partial(network_outputs, self.network, self.writer, self.compute)

    def __call__(
        self,
        x: Float[Tensor, "batch seq_len"],
        prompts: PromptTokens | None = None,
        series: Sequence[str] | None = None,
    ) -> Float[Tensor, "batch pred_len"]:
        """Forecasts [batch, pred_len] in scaled units. Each depends only on its own window and series.

        Args:
            x: windows [batch, seq_len] in scaled units.
            prompts: prompt tokens of the windows. By default, they are computed from `x`.
            series: id of the series of each window. By default, and for an unknown id, the linear part is the one that
                all series share.
        """
        if self.linear.effects is not None:
            raise ModelError(
                "this model uses known columns, which are not part of `x`",
                where="TimeLLM",
                do="forecast a table with the known columns: TimeLLM.forecast(frame)",
            )
        values = x.detach().float().cpu().numpy()
        number = None if series is None else self.linear.numbers(series)
        # Summed in float64, as `Parts.forecast` does.
        forecast = torch.from_numpy(self.linear.forecast(values, number)).to(x.device)
        if self.alpha != 0:
            if prompts is None and self.writer is not None:
                prompts = self.writer.tokens(values)
            forecast = forecast + self.alpha * self.network(x, prompts).double()
        return forecast.float()

    def train(self, mode: bool = True) -> "Forecaster":
        """The model, with the trainable layers in training mode if `mode`, otherwise in evaluation mode."""
        if self._network is not None:
            self._network.train(mode)
        return self

    def eval(self) -> "Forecaster":
        """The model in evaluation mode."""
        return self.train(False)

    def to(self, device: torch.device | str) -> "Forecaster":
        """The model, moved to a device."""
        self.compute = replace(self.compute, device=torch.device(device))
        if self._network is not None:
            self._network.to(self.compute.device)
        return self


@torch.no_grad()
def _run(network: Network, compute: Compute, batch: Batch) -> Float[np.ndarray, "batch pred_len"]:
    on_device = batch.to(compute.device)
    with compute.autocast():
        output: np.ndarray = network(on_device.x, on_device.prompts).float().cpu().numpy()
    return output
