"""The inference loop: forecasts of windows, batch by batch."""

from collections.abc import Iterator

import numpy as np
import torch
from tqdm.auto import tqdm

from timellm_pipeline.model.batches import BatchMaker, BatchSource, in_order, load_batches
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.network import Network
from timellm_pipeline.model.prompt import PromptWriter


def forecast_batches(
    network: Network,
    writer: PromptWriter | None,
    compute: Compute,
    windows: BatchSource,
    batch_size: int,
    which: np.ndarray | None = None,
    label: str = "forecasts",
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Iterator over (window numbers, forecasts [batch, pred_len], targets) in scaled units.

    The network is set to evaluation mode.

    Args:
        network: the network, on the device of `compute`.
        writer: prompt writer; None without a language model.
        compute: device and precision.
        windows: windows to forecast.
        batch_size: windows per batch; the last batch may be short.
        which: numbers of the windows to forecast, in this order; None: all windows.
        label: label of the progress bar.
    """
    network.eval()
    numbers = np.arange(len(windows)) if which is None else which
    order = (numbers[positions] for positions in in_order(len(numbers), batch_size))
    loader = load_batches(BatchMaker(windows, writer), order)
    bar = tqdm(total=len(numbers), desc=label, unit="window", leave=False, disable=None)
    with bar, torch.no_grad(), compute.autocast():
        for batch in loader:
            on_device = batch.to(compute.device)
            yield batch.which, network(on_device.x, on_device.prompts).float().cpu().numpy(), batch.y.numpy()
            bar.update(len(batch.which))
