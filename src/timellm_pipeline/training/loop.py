"""The training loop: after each update it validates, records history, saves a checkpoint and stops, when due.

The order is fixed so that a checkpoint always records what has been done: validation, then the history row, then the
checkpoint. A process that was killed at any point resumes from the newest complete checkpoint and repeats the same
numbers.

Time-LLM alone (`model.linear: none`) is selected by validation, with early stopping. A correction of a linear part is
trained for the planned number of steps, and the model is the average of its last weights: validation is for display, so
that it stays unused until it chooses the weight of the correction.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from timellm_pipeline.errors import CheckpointError, TrainingError
from timellm_pipeline.evaluation.correction import PartErrors, part_errors
from timellm_pipeline.model.batches import Batch
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import EvaluationParams, TrainingParams
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.sources import BatchSource
from timellm_pipeline.series.windows import Windows
from timellm_pipeline.training.average import Average
from timellm_pipeline.training.checkpoint import Checkpoint, RunFolder
from timellm_pipeline.training.gradients import Gradients
from timellm_pipeline.training.history import History, HistoryRow, peak_memory_mib
from timellm_pipeline.training.progress import Progress
from timellm_pipeline.training.schedule import Schedule
from timellm_pipeline.training.updates import Group, Updates
from timellm_pipeline.workers.group import WorkerGroup
from timellm_pipeline.workers.signals import StoppedBySignal, StopSignals

log = logging.getLogger(__name__)

SKIPPED_IN_A_ROW = 20  # consecutive fp16 updates that overflow before training fails


@dataclass
class RunState:
    """Position and counters of a run, as plain numbers; a checkpoint stores all of them."""

    step: int = 0
    best_step: int | None = None
    best_mse: float = math.inf
    bad_validations: int = 0
    validated_at: int = 0
    skipped_updates: int = 0
    skipped_in_a_row: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    resumed: list[dict[str, Any]] = field(default_factory=list)


class _StopRequestError(Exception):
    """A signal was received during validation."""


class TrainingLoop:
    """Trains a model to the end, from the start or from a checkpoint.

    Args:
        train: training windows, with the residuals of the linear part as targets.
        content: the source, versions and device that compute (`content_facts`), written into each checkpoint.
    """

    def __init__(
        self,
        model: TimeLLM,
        train: BatchSource,
        validation: Windows,
        plan: RunPlan,
        training: TrainingParams,
        evaluation: EvaluationParams,
        run: RunFolder,
        content: Mapping[str, Any],
    ) -> None:
        self.model, self.validation_windows = model, validation
        self.plan, self.training, self.evaluation = plan, training, evaluation
        compute = self.compute = model.compute
        self.run_folder, self.content = run, content
        self.state, self.group = RunState(), WorkerGroup.current()
        # fp16 gradients would underflow: the loss is scaled up, and an update that overflows is skipped.
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.precision == "fp16")
        # A fused Adam skips an fp16 overflow inside its kernel, where it cannot be counted.
        fused = compute.device.type == "cuda" and compute.precision != "fp16"
        self.optimizer = torch.optim.Adam(self._weights(), lr=training.learning_rate, fused=fused)
        self.updates = Updates(plan.steps_per_epoch, training.accumulate, plan.max_steps)
        self.schedule = Schedule(training, self.updates.made_after(plan.max_steps), plan.updates_per_epoch)
        self.gradients = Gradients(model, train, self.updates, self.scaler, training, self.group)
        self.history: History | None = None
        self.average = Average(model.network.trainables()) if model.linear.is_fitted else None
        self.final_errors: PartErrors | None = None  # of the validation after the last step, if this process made it

    def restore(self, checkpoint: Checkpoint, differences: list[str]) -> None:
        """Restore weights, optimizer, counters and history from a checkpoint."""
        saved = checkpoint.state()
        self.model.network.load_trainables(checkpoint.weights())
        if self.average is not None:
            self.average.restore(checkpoint.average())
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scaler.is_enabled() and saved["scaler"]:
            self.scaler.load_state_dict(saved["scaler"])
        self.state = RunState(**saved["run"])
        differences = [*differences, *self._forget_lost_best(checkpoint)]
        self.state.resumed.append({"step": checkpoint.step, "byte_equal": not differences, "differences": differences})
        self.history = History(self._live_history, checkpoint.history())

    def _forget_lost_best(self, checkpoint: Checkpoint) -> list[str]:
        """Forget a damaged best checkpoint: now this costs one candidate model, at the end it would cost the run."""
        best_step = self.state.best_step
        if best_step is None or best_step == checkpoint.step:
            return []
        try:
            self.run_folder.at(best_step)
        except CheckpointError as error:
            log.warning("the best checkpoint, step %s, is lost (%s); a later one is selected", best_step, error.what)
            self.state.best_step, self.state.best_mse = None, math.inf
            self.state.bad_validations, self.state.validated_at = 0, 0
            return [f"best checkpoint: step {best_step} -> lost"]
        return []

    def run(self) -> tuple[str, int]:
        """Train to the end. Returns the stop reason and the number of steps that this process ran.

        Raises:
            StoppedBySignal: after SIGTERM, SIGHUP or Ctrl-C, with a checkpoint written.
            TrainingError: for a loss or gradient that is not finite.
            CheckpointError: when a checkpoint cannot be written.
        """
        first_step = self.state.step
        self.history = self.history or History(self._live_history)
        with (
            StopSignals() as signals,
            self._progress(first_step) as progress,
        ):
            if first_step and self._validation_is_due(self.updates.ending_at(first_step)):
                self._after_update(self.updates.ending_at(first_step), signals, progress)
            batches = iter(self.gradients.load_from(self.state.step)) if self._stop_reason() is None else iter(())
            self.model.train()
            self.history.start_clock()
            while self._stop_reason() is None:
                group = self.updates.after(self.state.step)
                self._update(group, batches, progress)
                self._after_update(group, signals, progress)
        if self.group.size > 1:
            log.info("steps of each worker: %s", self.group.gather(self.gradients.steps_run))
        return str(self._stop_reason()), self.state.step - first_step

    @property
    def _live_history(self) -> Path | None:
        return self.run_folder.live_history if self.group.is_first else None

    def _progress(self, first_step: int) -> Progress:
        plan, batch_size = self.plan, self.training.batch_size
        return Progress(first_step, plan.max_steps, plan.steps_per_epoch, batch_size, self.group.is_first)

    def _update(self, group: Group, batches: Iterator[Batch], progress: Progress) -> None:
        """Make one update from the batches of a group."""
        assert self.history is not None
        self.optimizer.param_groups[0]["lr"] = self.schedule.rate(self.updates.made_after(group.last) - 1)
        for value in self.gradients.compute(group, batches):
            self.state.step += 1
            if math.isfinite(value):
                self.state.loss_sum += value
                self.state.loss_count += 1
            elif not self.scaler.is_enabled():
                raise self._not_finite_error("loss", group)
            self.history.count_step()
            progress.advance(value)
        if not self.scaler.is_enabled():
            norms = torch._foreach_norm([weight.grad for weight in self._weights() if weight.grad is not None])
            if not torch.isfinite(torch.stack(norms)).all():
                raise self._not_finite_error("gradient", group)
        scale = self.scaler.get_scale()  # a skipped update lowers it
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self._count_skipped(self.scaler.get_scale() < scale, group)
        if self.average is not None:
            self.average.update(self.updates.made_after(self.state.step))

    def _after_update(self, group: Group, signals: StopSignals, progress: Progress) -> None:
        """Validate, write the history row, save, and stop on a signal: in this order, each only when due."""
        state, history = self.state, self.history
        assert history is not None
        validation_mse, is_best = None, False
        signals.agree(self.group)
        seconds = history.seconds_per_step()
        if self._validation_is_due(group):
            validation_mse, is_best = self._validate(signals)
        if group.reaches(self.training.log_steps) or validation_mse is not None:
            loss = state.loss_sum / state.loss_count if state.loss_count else math.nan
            peak_mib = max(self.group.gather(peak_memory_mib()))
            history.append(
                HistoryRow(
                    step=state.step,
                    epoch=(state.step - 1) // self.plan.steps_per_epoch + 1,
                    loss=loss,
                    validation_mse=validation_mse,
                    learning_rate=self.schedule.rate(self.updates.made_after(state.step) - 1),
                    skipped_updates=state.skipped_updates,
                    seconds_per_step=round(seconds, 6),
                    peak_memory_mib=round(peak_mib, 1),
                )
            )
            state.loss_sum, state.loss_count = 0.0, 0
            progress.report(state.step, loss, validation_mse, seconds, peak_mib)
        stops = self._stop_reason() is not None
        if group.reaches(self.training.save_steps) or is_best or stops or signals.received is not None:
            self._save()
        if signals.received is not None:
            raise self._stop_exception(signals.received)

    def _validate(self, signals: StopSignals) -> tuple[float, bool]:
        """Score the validation windows. Returns the MSE, and whether the model is the best so far."""
        assert self.history is not None

        def stop_on_signal() -> None:
            signals.agree(self.group)
            if signals.received is not None:
                raise _StopRequestError

        try:
            with self.average.applied() if self.average is not None else nullcontext():
                size = self.evaluation.batch_size
                errors = part_errors(self.model, self.validation_windows, size, between=stop_on_signal)
        except _StopRequestError as stop:
            # Saved here, where the network has its own weights again, not the averaged ones. `validated_at` is
            # unchanged, so that this validation is repeated.
            self._save()
            assert signals.received is not None
            raise self._stop_exception(signals.received) from stop
        self.model.train()
        self.history.start_clock()
        state, mse, at_end = self.state, errors.mse(1.0), self.state.step == self.plan.max_steps
        state.validated_at = state.step
        self.final_errors = errors if at_end else None
        # The average of the last weights replaces a selection by validation.
        is_best = math.isfinite(mse) and (mse < state.best_mse if self.average is None else at_end)
        if is_best:
            state.best_mse, state.best_step, state.bad_validations = mse, state.step, 0
        elif self.average is None:
            state.bad_validations += 1
        return mse, is_best

    def _save(self) -> None:
        """Publish a checkpoint of the current state."""
        assert self.history is not None
        if not self.group.is_first:
            return
        self.run_folder.save(
            self.state.step,
            self.model.network.trainables(),
            {
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "run": asdict(self.state),
                "parameters": self.model.network.count_parameters(),
            },
            self.history.text,
            average=None if self.average is None else self.average.weights,
            content=self.content,
            keep=self.training.keep_checkpoints,
            best_step=self.state.best_step,
        )

    def _stop_reason(self) -> str | None:
        """Why training ends at this step, or None."""
        if self.state.bad_validations >= self.training.patience:
            return "early_stopping"
        if self.state.step < self.plan.max_steps or self.state.validated_at != self.state.step:
            return None
        return "max_steps" if self.training.max_steps == self.plan.max_steps else "max_epochs"

    def _validation_is_due(self, group: Group) -> bool:
        at_end = group.last == self.plan.max_steps
        return (group.reaches(self.plan.validate_steps) or at_end) and self.state.validated_at != group.last

    def _weights(self) -> list[torch.nn.Parameter]:
        return list(self.model.network.trainables().values())

    def _count_skipped(self, skipped: bool, group: Group) -> None:
        """Count an update that the gradient scaler skipped. Raises TrainingError after too many in a row."""
        state = self.state
        if not skipped:
            state.skipped_in_a_row = 0
            return
        state.skipped_updates += 1
        state.skipped_in_a_row += 1
        if state.skipped_in_a_row >= SKIPPED_IN_A_ROW:
            raise self._not_finite_error(f"gradient of {SKIPPED_IN_A_ROW} updates in a row under fp16", group)

    def _not_finite_error(self, what: str, group: Group) -> TrainingError:
        windows = np.concatenate([*self.gradients.order(group)])
        listed = ", ".join(map(str, windows[:16])) + (" …" if len(windows) > 16 else "")
        newest = self.run_folder.newest()
        kept = "no checkpoint was written yet" if newest is None else f"the checkpoint of step {newest.step:,} is kept"
        return TrainingError(
            f"the {what} is not a finite number at step {self.state.step:,}",
            where=f"training windows {listed} (numbers in the train part of window_index)",
            do=f"lower training.learning_rate, or set training.precision=no; {kept}",
        )

    def _stop_exception(self, number: int) -> StoppedBySignal:
        saved = f"checkpoint saved in {self.run_folder.folder}; the same command resumes from there"
        return StoppedBySignal(number, f"stopped at step {self.state.step:,} by a signal; {saved}")
