"""Progress for people: a bar with s/it, loss and time left on a terminal, one log line per `log_steps` elsewhere."""

import logging
import sys
from contextlib import suppress
from types import TracebackType

import torch
from tqdm.auto import tqdm

log = logging.getLogger(__name__)


class Progress:
    """Shows how far training is; `step` counts from 1 to `max_steps`."""

    def __init__(self, first_step: int, max_steps: int, steps_per_epoch: int) -> None:
        self.max_steps, self.steps_per_epoch = max_steps, steps_per_epoch
        self.on_terminal = sys.stderr.isatty()
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
        """One more step, with its loss."""
        facts = {"loss": f"{loss:.4f}"}
        if self.on_terminal and torch.cuda.is_available():
            facts["gpu"] = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}GiB"
        try:
            self.bar.set_postfix(facts, refresh=False)
            self.bar.update()
        except OSError:  # the terminal was closed; training has a signal to obey, and a checkpoint to write
            self.bar.disable = True

    def report(self, step: int, loss: float, validation_mse: float | None, seconds_per_step: float) -> None:
        """A line for the log. On a terminal the bar says the same, so only validations are logged there."""
        if self.on_terminal and validation_mse is None:
            return
        left = (self.max_steps - step) * seconds_per_step
        validation = "" if validation_mse is None else f" · validation MSE {validation_mse:.4f}"
        log.info(
            "step %s/%s · epoch %s · loss %.4f%s · %.3g s/it · %s left",
            f"{step:,}",
            f"{self.max_steps:,}",
            (step - 1) // self.steps_per_epoch + 1,
            loss,
            validation,
            seconds_per_step,
            _clock(left),
        )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
