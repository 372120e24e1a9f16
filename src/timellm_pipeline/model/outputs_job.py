"""What a worker process does for `model/worker_outputs.py`: outputs of the network for its batches."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from timellm_pipeline.errors import TrainingError
from timellm_pipeline.linear.remainder import Remainder
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.inference import own_outputs
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.sharding import is_shared, shared
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.model.window_files import read_windows
from timellm_pipeline.model.worker_outputs import OUTPUTS
from timellm_pipeline.parameters import BackboneParams
from timellm_pipeline.workers.folder import WorkFolder
from timellm_pipeline.workers.group import WorkerGroup


@dataclass(frozen=True)
class OutputsJob:
    """The job of a worker: outputs for its batches of the windows in a folder."""

    folder: WorkFolder
    facts: dict[str, Any]

    @classmethod
    def read(cls, folder: WorkFolder) -> "OutputsJob":
        """The job in a folder."""
        return cls(folder, folder.job())

    def run(self) -> None:
        """Compute the outputs of the own batches and write them. Without the starting process, remove the folder."""
        group, facts, path = WorkerGroup.current(), self.facts, self.folder.path
        model = self._load()
        backbone: Any = model.network.backbone
        if len(set(group.gather(model.network.backbone_path))) > 1:
            raise TrainingError(
                "the workers run the backbone in different ways",
                where="workers",
                do="use machines with the same versions and devices",
            )
        windows = Remainder(read_windows(path), model.linear.effects)
        outputs = np.load(path / OUTPUTS, mmap_mode="r+")
        network = model.network, model.writer, model.compute
        total = len(windows)
        with tqdm(total=total, desc="network", unit="window", leave=False, disable=not group.is_first or None) as bar:
            for which, output in own_outputs(*network, windows, facts["batch_size"]):
                outputs[which] = output
                bar.update(min(len(which) * group.size, total - bar.n))
                # After each batch, so that a worker that hangs is noticed, and a slow one is not taken for it.
                if any(group.gather(group.is_orphan)):
                    shutil.rmtree(path, ignore_errors=True)
                    return
                if is_shared(backbone):
                    backbone.reset_iter_state()  # FSDP2 keeps a record of each pass until a backward pass
        outputs.flush()

    def _load(self) -> TimeLLM:
        facts = self.facts
        saved = SavedModel.read(Path(facts["saved"]))
        place = BackboneParams.model_validate(facts["backbone"])
        compute = shared(compute_as_trained(saved.config.precision), facts["shard"])
        source = BackboneSource(Path(facts["cache"]))
        return TimeLLM.from_saved(saved, source, compute, place, facts["description"], correction=True)
