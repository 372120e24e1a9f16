"""The inputs of a training as files, for worker processes: arrays, Parquet and JSON, nothing pickled.

<folder>/
    scaled.parquet  scaler.json  window_index.parquet  run_plan.json  linear.safetensors  settings.json
    job.json        version and folders; written last
"""

from dataclasses import dataclass
from pathlib import Path

from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.parameters.workers import refuse_idle_workers
from timellm_pipeline.series.panel_file import read_index, read_panel, write_index, write_panel
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.preparation import prepare_training
from timellm_pipeline.training.result import read_finished
from timellm_pipeline.training.run import train_model
from timellm_pipeline.workers.folder import WorkFolder
from timellm_pipeline.workers.group import WorkerGroup

SCALED, SCALER, INDEX, PLAN = "scaled.parquet", "scaler.json", "window_index.parquet", "run_plan.json"
LINEAR, SETTINGS = "linear.safetensors", "settings.json"
KIND = "train"


@dataclass(frozen=True)
class Handoff:
    """Everything that `train_model` needs, and the folder of its files.

    Attributes:
        start: folder of a model that provides the initial weights; None for new weights.
        discarded: version in which the finished training was trained that `training.force` discards; None: there is
            none. Workers that start again must not discard their own result.
    """

    folder: WorkFolder
    data: TrainingData
    parameters: Parameters
    source: BackboneSource
    store: CheckpointStore
    version: str
    start: Path | None
    linear: LinearPart
    discarded: str | None = None

    def write(self) -> None:
        """Write the files to the folder, which is created if it does not exist."""
        data, path = self.data, self.folder.path
        path.mkdir(parents=True, exist_ok=True)
        write_panel(data.scaled, path / SCALED)
        write_index(data.index, path / INDEX)
        records = {SCALER: data.scaler, PLAN: data.plan, SETTINGS: self.parameters}
        for name, record in records.items():
            (path / name).write_text(record.model_dump_json(), encoding="utf-8")
        (path / LINEAR).write_bytes(self.linear.as_bytes())
        facts = {
            "version": self.version,
            "cache": str(self.source.cache.absolute()),
            "store": str(self.store.root.absolute()),
            "start": None if self.start is None else str(self.start.absolute()),
            "discarded": self.discarded,
        }
        self.folder.write_job(KIND, self.parameters.workers.timeout, facts)

    @classmethod
    def read(cls, folder: WorkFolder) -> "Handoff":
        """The inputs in a folder. Raises TrainingError if it does not contain them."""
        facts, path = folder.job(), folder.path
        try:
            data = TrainingData(
                scaled=read_panel(path / SCALED),
                scaler=Scaler.model_validate_json((path / SCALER).read_bytes()),
                index=read_index(path / INDEX),
                plan=RunPlan.model_validate_json((path / PLAN).read_bytes()),
            )
            return cls(
                folder=folder,
                data=data,
                parameters=Parameters.model_validate_json((path / SETTINGS).read_bytes()),
                source=BackboneSource(Path(facts["cache"])),
                store=CheckpointStore(Path(facts["store"])),
                version=facts["version"],
                start=None if facts["start"] is None else Path(facts["start"]),
                linear=LinearPart.from_file(path / LINEAR),
                discarded=facts["discarded"],
            )
        except (OSError, ValueError, KeyError) as error:
            raise folder.unreadable(error) from error

    def run(self) -> None:
        """Train, together with the other workers. The result is in the run folder."""
        refuse_idle_workers(WorkerGroup.current().size, self.parameters.training)
        start = None if self.start is None else SavedModel.read(self.start)
        group = self.parameters.training.model_copy(update={"force": self._discards(start)})
        parameters = self.parameters.model_copy(update={"training": group})
        train_model(self.data, parameters, self.source, self.store, self.version, start, self.linear)

    def _discards(self, start: SavedModel | None) -> bool:
        """Whether the finished training in the run folder is the one to be discarded."""
        if self.discarded is None:
            return False
        training = prepare_training(self.data, self.parameters, self.source, self.store, start, self.linear)
        finished = read_finished(training.run.folder)
        return finished is not None and finished.trained_in == self.discarded
