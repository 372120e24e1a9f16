"""The inputs of a training as files, for worker processes: arrays, Parquet and JSON, nothing pickled.

<folder>/
    scaled.parquet  scaler.json  window_index.parquet  run_plan.json  linear.safetensors  settings.json
    work.json        version and folders; written last
    error.json       the error of a worker that a user can fix
    stopped.json     the signal after which the workers saved a checkpoint
    done.json        number of steps that the workers ran
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timellm_pipeline import errors
from timellm_pipeline.errors import TrainingError, UserError
from timellm_pipeline.files import write_atomic
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.series.panel_file import read_index, read_panel, write_index, write_panel
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.training.checkpoint import CheckpointStore

SCALED, SCALER, INDEX, PLAN = "scaled.parquet", "scaler.json", "window_index.parquet", "run_plan.json"
LINEAR, SETTINGS, WORK = "linear.safetensors", "settings.json", "work.json"


@dataclass(frozen=True)
class Handoff:
    """Everything that `train_model` needs, and the folder of its files.

    Attributes:
        start: folder of a model that provides the initial weights; None for new weights.
    """

    folder: Path
    data: TrainingData
    parameters: Parameters
    source: BackboneSource
    store: CheckpointStore
    version: str
    start: Path | None
    linear: LinearPart

    def write(self) -> None:
        """Write the files to the folder, which exists."""
        data, folder = self.data, self.folder
        write_panel(data.scaled, folder / SCALED)
        write_index(data.index, folder / INDEX)
        records = {SCALER: data.scaler, PLAN: data.plan, SETTINGS: self.parameters}
        for name, record in records.items():
            (folder / name).write_text(record.model_dump_json(), encoding="utf-8")
        (folder / LINEAR).write_bytes(self.linear.as_bytes())
        facts = {
            "version": self.version,
            "cache": str(self.source.cache.absolute()),
            "store": str(self.store.root.absolute()),
            "start": None if self.start is None else str(self.start.absolute()),
        }
        write_atomic(folder / WORK, json.dumps(facts).encode())

    @classmethod
    def read(cls, folder: Path) -> "Handoff":
        """The inputs in a folder. Raises TrainingError if it does not contain them."""
        try:
            facts = json.loads((folder / WORK).read_text(encoding="utf-8"))
            data = TrainingData(
                scaled=read_panel(folder / SCALED),
                scaler=Scaler.model_validate_json((folder / SCALER).read_bytes()),
                index=read_index(folder / INDEX),
                plan=RunPlan.model_validate_json((folder / PLAN).read_bytes()),
            )
            parameters = Parameters.model_validate_json((folder / SETTINGS).read_bytes())
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(
                f"this folder does not contain the inputs of a training: {error}",
                where=str(folder),
                do="start the workers with kedro run --pipeline train --params workers.processes=N",
            ) from error
        return cls(
            folder=folder,
            data=data,
            parameters=parameters,
            source=BackboneSource(Path(facts["cache"])),
            store=CheckpointStore(Path(facts["store"])),
            version=facts["version"],
            start=None if facts["start"] is None else Path(facts["start"]),
            linear=LinearPart.from_file(folder / LINEAR),
        )

    def start_model(self) -> SavedModel | None:
        """The model that provides the initial weights."""
        return None if self.start is None else SavedModel.read(self.start)

    def report_error(self, error: UserError) -> None:
        """Keep the error of a worker, for the process that started it. The first one counts."""
        facts = {"kind": type(error).__name__, "what": error.what, "where": error.where, "do": error.do}
        if not self._place("error").exists():
            write_atomic(self._place("error"), json.dumps(facts).encode())

    def error(self) -> UserError | None:
        """The error that a worker reported."""
        facts = self._facts("error")
        if facts is None:
            return None
        kind = getattr(errors, facts["kind"])
        made: UserError = kind(facts["what"], where=facts["where"], do=facts["do"])
        return made

    def report_stop(self, number: int, message: str) -> None:
        """Keep the signal that stopped the training."""
        write_atomic(self._place("stopped"), json.dumps({"number": number, "message": message}).encode())

    def stop(self) -> tuple[int, str] | None:
        """The signal that stopped the training, and the message."""
        facts = self._facts("stopped")
        return None if facts is None else (facts["number"], facts["message"])

    def report_done(self, steps_run: int) -> None:
        """Keep the number of steps that the workers ran until the training had finished."""
        write_atomic(self._place("done"), json.dumps({"steps_run": steps_run}).encode())

    def steps_run(self) -> int:
        """Number of steps that the workers ran; 0 if they have not reported it."""
        facts = self._facts("done")
        return 0 if facts is None else int(facts["steps_run"])

    def _place(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _facts(self, name: str) -> dict[str, Any] | None:
        path = self._place(name)
        facts: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return facts
