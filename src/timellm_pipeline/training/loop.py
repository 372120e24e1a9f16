"""The training loop: update by update, validating, remembering, saving and stopping in between.

What happens after an update is ordered so that a checkpoint always tells what has been done: validate, then the
history's row, then the checkpoint. A process killed anywhere goes on from the newest whole checkpoint and repeats
the same numbers.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from timellm_pipeline.errors import CheckpointError, TrainingError
from timellm_pipeline.evaluation.forecasting import score_model
from timellm_pipeline.model.batches import Batch, BatchMaker, load_batches
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.sizes import count_parameters
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import EvaluationParams, TrainingParams
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.windows import Windows
from timellm_pipeline.training.checkpoint import Checkpoint, RunFolder
from timellm_pipeline.training.history import History, HistoryRow, peak_memory_mib
from timellm_pipeline.training.order import batch_order
from timellm_pipeline.training.progress import Progress
from timellm_pipeline.training.randomness import random_states, restore_random_states
from timellm_pipeline.training.schedule import Schedule
from timellm_pipeline.training.signals import StopSignals, TrainingStopped
from timellm_pipeline.training.updates import Group, Updates

log = logging.getLogger(__name__)

SKIPPED_IN_A_ROW = 20  # fp16 updates that overflow one after the other before the run counts as broken


@dataclass
class RunState:
    """Where a run stands, in plain numbers; a checkpoint holds it whole."""

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


class TrainingLoop:
    """Trains a model from where its newest checkpoint stands to its end.

    Args:
        content: what computes (`content_facts`), written into each checkpoint.
    """

    def __init__(
        self,
        model: TimeLLM,
        train: Windows,
        validation: Windows,
        plan: RunPlan,
        training: TrainingParams,
        evaluation: EvaluationParams,
        compute: Compute,
        run: RunFolder,
        content: Mapping[str, Any],
    ) -> None:
        self.model, self.train_windows, self.validation_windows = model, train, validation
        self.plan, self.training, self.evaluation = plan, training, evaluation
        self.compute, self.run_folder, self.content = compute, run, content
        self.state = RunState()
        AcceleratorState._reset_state()  # one process may train twice, in two precisions
        self.accelerator = Accelerator(cpu=compute.device.type == "cpu", mixed_precision=compute.precision)
        weights = list(model.trainables().values())
        # A fused Adam skips an fp16 overflow inside its kernel, where accelerate cannot see and count it.
        fused = compute.device.type == "cuda" and compute.precision != "fp16"
        self.optimizer = self.accelerator.prepare(torch.optim.Adam(weights, lr=training.learning_rate, fused=fused))
        self.updates = Updates(plan.steps_per_epoch, training.accumulate, plan.max_steps)
        self.schedule = Schedule(training, self.updates.made_after(plan.max_steps), plan.updates_per_epoch)
        self.history: History | None = None

    def restore(self, checkpoint: Checkpoint, differences: list[str]) -> None:
        """Put weights, optimizer, counters and random states back to where the checkpoint was written."""
        saved = checkpoint.state()
        self.model.load_trainables(checkpoint.weights())
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.accelerator.scaler is not None and saved["scaler"]:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        self.state = RunState(**saved["run"])
        differences = [*differences, *self._lost_best(checkpoint)]
        self.state.resumed.append({"step": checkpoint.step, "byte_equal": not differences, "differences": differences})
        self.history = History(self.run_folder.live_history, checkpoint.history())
        restore_random_states(saved["random"])

    def _lost_best(self, checkpoint: Checkpoint) -> list[str]:
        """Found now, a damaged best checkpoint costs one model to choose from; found at the end, it costs the run."""
        best = self.state.best_step
        if best is None or best == checkpoint.step:
            return []
        try:
            self.run_folder.at(best)
        except CheckpointError as error:
            log.warning("the best checkpoint, of step %s, is lost (%s); a later one will be chosen", best, error.what)
            self.state.best_step, self.state.best_mse = None, math.inf
            self.state.bad_validations, self.state.validated_at = 0, 0
            return [f"best checkpoint: step {best} -> lost"]
        return []

    def run(self) -> tuple[str, int]:
        """Train to the end. Returns why it stopped and how many steps this process ran.

        Raises:
            TrainingStopped: after SIGTERM, SIGHUP or Ctrl-C, with a checkpoint written.
            TrainingError: for a loss or gradient that is no finite number.
            CheckpointError: when a checkpoint cannot be written.
        """
        first_step = self.state.step
        self.history = self.history or History(self.run_folder.live_history)
        with (
            StopSignals() as signals,
            Progress(first_step, self.plan.max_steps, self.plan.steps_per_epoch) as progress,
        ):
            if first_step and self._validation_is_due(self.updates.ending_at(first_step)):
                self._after_update(self.updates.ending_at(first_step), signals, progress)
            batches = iter(self._loader()) if self._stop_reason() is None else iter(())
            self.model.train()
            self.history.start_clock()
            while self._stop_reason() is None:
                group = self.updates.after(self.state.step)
                self._update(group, batches, progress)
                self._after_update(group, signals, progress)
        return str(self._stop_reason()), self.state.step - first_step

    def _loader(self) -> "torch.utils.data.DataLoader[Batch]":
        order = batch_order(
            len(self.train_windows),
            self.training.batch_size,
            self.training.seed,
            self.state.step,
            self.plan.max_steps,
        )
        return load_batches(
            BatchMaker(self.train_windows, self.model.writer),
            order,
            num_workers=self.training.num_workers,
            pin_memory=self.compute.device.type == "cuda",
        )

    def _update(self, group: Group, batches: Iterator[Batch], progress: Progress) -> None:
        """One optimizer step over the group's batches."""
        assert self.history is not None
        self.optimizer.param_groups[0]["lr"] = self.schedule.rate(self.updates.made_after(group.last) - 1)
        seen: list[np.ndarray] = []
        for _ in range(group.first, group.last):
            batch = next(batches).to(self.compute.device)
            with self.compute.autocast():
                forecast = self.model(batch.x, batch.prompts)
            loss = F.mse_loss(forecast, batch.y)
            self.accelerator.backward(loss / (group.last - group.first))
            seen.append(batch.which)
            value = loss.item()
            self.state.step += 1
            if math.isfinite(value):
                self.state.loss_sum += value
                self.state.loss_count += 1
            elif self.accelerator.scaler is None:
                raise self._not_finite("loss", seen)
            self.history.count_step()
            progress.advance(value)
        if self.accelerator.scaler is None:
            norms = torch._foreach_norm([weight.grad for weight in self._weights() if weight.grad is not None])
            if not torch.isfinite(torch.stack(norms)).all():
                raise self._not_finite("gradient", seen)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._count_skipped(seen)

    def _after_update(self, group: Group, signals: StopSignals, progress: Progress) -> None:
        """Validate, write the history's row, save, and stop if asked to: in this order, each only when due."""
        state, history = self.state, self.history
        assert history is not None
        validation_mse, is_best = None, False
        seconds = history.seconds_per_step()
        if self._validation_is_due(group):
            validation_mse, is_best = self._validate(signals)
        if group.reaches(self.training.log_steps) or validation_mse is not None:
            loss = state.loss_sum / state.loss_count if state.loss_count else math.nan
            history.append(
                HistoryRow(
                    step=state.step,
                    epoch=(state.step - 1) // self.plan.steps_per_epoch + 1,
                    loss=loss,
                    validation_mse=validation_mse,
                    learning_rate=self.schedule.rate(self.updates.made_after(state.step) - 1),
                    skipped_updates=state.skipped_updates,
                    seconds_per_step=round(seconds, 6),
                    peak_memory_mib=round(peak_memory_mib(), 1),
                )
            )
            state.loss_sum, state.loss_count = 0.0, 0
            progress.report(state.step, loss, validation_mse, seconds)
        stops = self._stop_reason() is not None
        if group.reaches(self.training.save_steps) or is_best or stops or signals.received is not None:
            self._save()
        if signals.received is not None:
            raise self._stopped(signals.received)

    def _validate(self, signals: StopSignals) -> tuple[float, bool]:
        """Score the validation windows, and decide whether this is the best model so far."""
        assert self.history is not None

        def stop_at_once() -> None:
            if signals.received is not None:
                self._save()  # validated_at still says that this validation is to be done again
                raise self._stopped(signals.received)

        sums = score_model(
            self.model,
            self.validation_windows,
            self.evaluation.batch_size,
            self.compute,
            "validation",
            between=stop_at_once,
        )
        self.model.train()
        self.history.start_clock()
        state, mse = self.state, sums.mse
        state.validated_at = state.step
        is_best = math.isfinite(mse) and mse < state.best_mse
        if is_best:
            state.best_mse, state.best_step, state.bad_validations = mse, state.step, 0
        else:
            state.bad_validations += 1
        return mse, is_best

    def _save(self) -> None:
        """Publish a checkpoint of this very moment."""
        assert self.history is not None
        scaler = self.accelerator.scaler
        self.run_folder.save(
            self.state.step,
            self.model.trainables(),
            {
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else {},
                "run": asdict(self.state),
                "random": random_states(),
                "parameters": count_parameters(self.model),
            },
            self.history.text,
            content=self.content,
            keep=self.training.keep_checkpoints,
            best_step=self.state.best_step,
        )

    def _stop_reason(self) -> str | None:
        """Why training is over at this step, or None."""
        if self.state.bad_validations >= self.training.patience:
            return "early_stopping"
        if self.state.step < self.plan.max_steps or self.state.validated_at != self.state.step:
            return None
        return "max_steps" if self.training.max_steps == self.plan.max_steps else "max_epochs"

    def _validation_is_due(self, group: Group) -> bool:
        at_end = group.last == self.plan.max_steps
        return (group.reaches(self.plan.validate_steps) or at_end) and self.state.validated_at != group.last

    def _weights(self) -> list[torch.nn.Parameter]:
        return list(self.model.trainables().values())

    def _count_skipped(self, seen: list[np.ndarray]) -> None:
        state = self.state
        if not self.accelerator.optimizer_step_was_skipped:
            state.skipped_in_a_row = 0
            return
        state.skipped_updates += 1
        state.skipped_in_a_row += 1
        if state.skipped_in_a_row >= SKIPPED_IN_A_ROW:
            raise self._not_finite(f"gradient of {SKIPPED_IN_A_ROW} updates in a row under fp16", seen)

    def _not_finite(self, what: str, seen: list[np.ndarray]) -> TrainingError:
        windows = np.concatenate(seen)
        listed = ", ".join(map(str, windows[:16])) + (" …" if len(windows) > 16 else "")
        newest = self.run_folder.newest()
        kept = "no checkpoint was written yet" if newest is None else f"the checkpoint of step {newest.step:,} is kept"
        return TrainingError(
            f"the {what} is not a finite number at step {self.state.step:,}",
            where=f"training windows {listed} (row numbers of window_index's train part)",
            do=f"lower training.learning_rate, or set training.precision=no; {kept}",
        )

    def _stopped(self, number: int) -> TrainingStopped:
        return TrainingStopped(
            number,
            f"stopped at step {self.state.step:,} as asked; saved in {self.run_folder.folder}; "
            "the same command resumes from there",
        )
