"""Training history: one row every `log_steps` steps and at each validation, as CSV that grows during training."""

import io
import logging
import time
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from timellm_pipeline.files import write_in_place


@dataclass(frozen=True)
class HistoryRow:
    """One row of the history.

    Attributes:
        loss: mean training loss (MSE in scaled units) since the previous row.
        seconds_per_step: mean since the previous row, without validation.
        peak_memory_mib: largest memory so far, of the GPU or of the process.
        skipped_updates: updates skipped so far because fp16 overflowed.
    """

    step: int
    epoch: int
    loss: float
    validation_mse: float | None
    learning_rate: float
    skipped_updates: int
    seconds_per_step: float
    peak_memory_mib: float


log = logging.getLogger(__name__)

TIME_COLUMNS = ("seconds_per_step", "peak_memory_mib")
HEADER = ",".join(field.name for field in fields(HistoryRow)) + "\n"


class History:
    """The rows so far, in memory and in a live file for viewers; without a file in a worker that does not write."""

    def __init__(self, live: Path | None, text: str = "") -> None:
        self.live, self.text = live, text or HEADER
        if self.live is not None:
            write_in_place(self.live, self.text.encode())
        self._start, self._num_steps = time.perf_counter(), 0

    def count_step(self) -> None:
        """Count one step since the last row."""
        self._num_steps += 1

    def seconds_per_step(self) -> float:
        """Mean seconds of the steps since the last row."""
        return (time.perf_counter() - self._start) / max(self._num_steps, 1)

    def append(self, row: HistoryRow) -> None:
        """Add a row to the text and to the live file."""
        values = [getattr(row, field.name) for field in fields(HistoryRow)]
        line = ",".join("" if value is None else repr(value) for value in values) + "\n"
        self.text += line
        self.start_clock()
        if self.live is None:
            return
        try:  # write the complete text, so that a row after a failed write is not missing later
            write_in_place(self.live, self.text.encode())
        except OSError as error:  # a viewer locks it, or the drive fails briefly: checkpoints have their own copy
            log.warning("%s cannot be written now (%s); checkpoints keep the history", self.live, error)

    def start_clock(self) -> None:
        """Start to measure the steps of the next row."""
        self._start, self._num_steps = time.perf_counter(), 0


def read_history(text: str) -> pd.DataFrame:
    """The rows of a history CSV as a frame."""
    return pd.read_csv(io.StringIO(text))


def without_times(history: pd.DataFrame) -> pd.DataFrame:
    """The columns that are equal in every run of the same training: all but times and memory."""
    return history.drop(columns=list(TIME_COLUMNS))


def peak_memory_mib() -> float:
    """Largest memory so far in MiB: of the GPU if there is one, otherwise of this process; NaN on Windows."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
