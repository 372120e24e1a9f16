"""The folder of a job for worker processes: its inputs, and what the workers report. Plain files, nothing pickled.

<folder>/
    ...             inputs of the job, written by its kind (training/handoff.py, model/worker_outputs.py)
    job.json        kind of the job and its facts; written last
    error.json      the error of a worker that a user can fix
    stopped.json    the signal after which the workers saved a checkpoint
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timellm_pipeline import errors
from timellm_pipeline.errors import TrainingError, UserError
from timellm_pipeline.files import write_atomic

JOB, ERROR, STOPPED = "job.json", "error.json", "stopped.json"


@dataclass(frozen=True)
class WorkFolder:
    """A job of worker processes."""

    path: Path

    def write_job(self, kind: str, timeout: int, facts: dict[str, Any]) -> None:
        """Publish the job. Its other files are complete.

        Args:
            kind: what the workers do.
            timeout: seconds that a worker waits for the others.
            facts: values that the job needs.
        """
        job = {"kind": kind, "timeout": timeout, **facts}
        write_atomic(self.path / JOB, json.dumps(job).encode())

    def job(self) -> dict[str, Any]:
        """`kind`, `timeout` and the facts of the job. Raises TrainingError if the folder contains none."""
        try:
            facts: dict[str, Any] = json.loads((self.path / JOB).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self.unreadable(error) from error
        return facts

    def unreadable(self, error: Exception) -> TrainingError:
        """The error for a folder whose inputs cannot be read."""
        return TrainingError(
            f"this folder does not contain the inputs of worker processes: {error}",
            where=str(self.path),
            do="write them: kedro run --pipeline worker_inputs",
        )

    def clear(self) -> None:
        """Remove the reports of an earlier start."""
        for name in (ERROR, STOPPED):
            (self.path / name).unlink(missing_ok=True)

    def report_error(self, error: UserError) -> None:
        """Keep the error of a worker, for the process that started it. The first one counts."""
        facts = {"kind": type(error).__name__, "what": error.what, "where": error.where, "do": error.do}
        if not (self.path / ERROR).exists():
            write_atomic(self.path / ERROR, json.dumps(facts).encode())

    def error(self) -> UserError | None:
        """The error that a worker reported."""
        facts = self._facts(ERROR)
        if facts is None:
            return None
        kind = getattr(errors, facts["kind"])
        made: UserError = kind(facts["what"], where=facts["where"], do=facts["do"])
        return made

    def report_stop(self, number: int, message: str) -> None:
        """Keep the signal that stopped the workers."""
        write_atomic(self.path / STOPPED, json.dumps({"number": number, "message": message}).encode())

    def stop(self) -> tuple[int, str] | None:
        """The signal that stopped the workers, and the message."""
        facts = self._facts(STOPPED)
        return None if facts is None else (facts["number"], facts["message"])

    def _facts(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        facts: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return facts
