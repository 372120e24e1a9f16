"""Outputs of the network of a saved model, computed by worker processes: batch i by worker i modulo their number.

The batches are those of one process, and so are their outputs, to the bit. Each worker writes the rows of its batches
into one file.

<folder>/
    inputs.npy  numbers.npy  texts.json  known.npy      the windows (model/window_files.py)
    outputs.npy     outputs [windows, pred_len], written by the workers
    job.json
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timellm_pipeline.linear.remainder import Remainder
from timellm_pipeline.model.array_windows import in_order
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.window_files import new_array, write_windows
from timellm_pipeline.parameters import BackboneParams, WorkersParams
from timellm_pipeline.workers.elastic import number_of_workers, run_workers
from timellm_pipeline.workers.folder import WorkFolder

KIND, OUTPUTS = "outputs", "outputs.npy"


@dataclass(frozen=True)
class WorkerOutputs:
    """Computes the outputs of a saved network with worker processes of this machine.

    Attributes:
        saved: folder of the model.
        backbone: the backbone, at a location where it was found.
        description: description of the series in the prompt; None: as in training.
    """

    saved: Path
    source: BackboneSource
    backbone: BackboneParams
    description: str | None
    workers: WorkersParams

    def __call__(self, windows: Remainder, batch_size: int) -> Iterator[np.ndarray]:
        """Iterator over the outputs of each batch [batch, pred_len].

        Args:
            windows: windows less the effects of known columns, which the workers remove again.
            batch_size: windows per batch; the last batch may be short.

        Raises the errors of `run_workers`.
        """
        pred_len = SavedModel.read(self.saved).config.window.pred_len
        processes = number_of_workers(self.workers)
        if self.workers.shard == "none":
            processes = min(processes, -(-len(windows) // batch_size))
        with tempfile.TemporaryDirectory(prefix="timellm-", ignore_cleanup_errors=True) as path:
            folder = WorkFolder(Path(path))
            write_windows(windows.windows, folder.path)
            shape = (len(windows), pred_len)
            new_array(folder.path / OUTPUTS, np.float32, shape).flush()
            facts = {
                "saved": str(self.saved.absolute()),
                "cache": str(self.source.cache.absolute()),
                "backbone": self.backbone.model_dump(mode="json"),
                "description": self.description,
                "shard": self.workers.shard,
                "batch_size": batch_size,
            }
            folder.write_job(KIND, self.workers.timeout, facts)
            run_workers(folder, self.workers, processes)
            outputs = np.load(folder.path / OUTPUTS, mmap_mode="r")
            for which in in_order(len(windows), batch_size):
                yield np.array(outputs[which[0] : which[-1] + 1])
