"""Training progress: a bar with s/it, loss and time left on a terminal, otherwise one log line per `log_steps`."""

import logging
import sys
from contextlib import suppress
from types import TracebackType

import torch
from tqdm.auto import tqdm

from timellm_pipeline.durations import format_duration

log = logging.getLogger(__name__)


class Progress:
    """Reports the progress of training. Steps count from 1 to `max_steps`.

    Args:
        first_step: step that training resumes from.
        max_steps: the last step.
        steps_per_epoch: steps of an epoch.
        batch_size: windows of a step.
        is_shown: False for a worker that another one reports for.
    """

    def __init__(
        self, first_step: int, max_steps: int, steps_per_epoch: int, batch_size: int, is_shown: bool = True
    ) -> None:
        self.max_steps, self.steps_per_epoch, self.batch_size = max_steps, steps_per_epoch, batch_size
        self.gpu_mib = 0.0
        self.on_terminal = sys.stderr.isatty() and is_shown
        self.bar = tqdm(
            total=max_steps,
            initial=first_step,
            desc="training",
            disable=not self.on_terminal,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self.bar.close()

    def advance(self, loss: float) -> None:
        """Advance the bar by one step, with its loss."""
        postfix = {"loss": f"{loss:.4f}"}
        if self.on_terminal and torch.cuda.is_available():
            self.gpu_mib = max(self.gpu_mib, torch.cuda.max_memory_allocated() / 2**20)
            postfix["gpu"] = f"{self.gpu_mib / 2**10:.1f}GiB"
        try:
            self.bar.set_postfix(postfix, refresh=False)
            self.bar.update()
        except OSError:  # the terminal was closed; training still has to handle the signal and save
            self.bar.disable = True

    def report(
        self, step: int, loss: float, validation_mse: float | None, seconds_per_step: float, peak_mib: float
    ) -> None:
        """Log one line. On a terminal the bar shows the same values, so only validations are logged.

        Args:
            seconds_per_step: of all workers together.
            peak_mib: largest memory of a worker in MiB: of its GPU, if it has one.
        """
        self.gpu_mib = peak_mib
        if self.on_terminal and validation_mse is None:
            return
        seconds_left = (self.max_steps - step) * seconds_per_step
        validation = "" if validation_mse is None else f" · validation MSE {validation_mse:.4f}"
        log.info(
            "step %s/%s · epoch %s · loss %.4f%s · %.3g s/it · %s windows/s · %s left",
            f"{step:,}",
            f"{self.max_steps:,}",
            (step - 1) // self.steps_per_epoch + 1,
            loss,
            validation,
            seconds_per_step,
            f"{self.batch_size / seconds_per_step:,.4g}",
            format_duration(seconds_left),
        )
