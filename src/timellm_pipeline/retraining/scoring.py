"""Score a candidate, the champion and the baselines on the newest windows, and apply the gates."""

import gc
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from timellm_pipeline.errors import BackboneError, ModelError
from timellm_pipeline.evaluation.comparison import Scored, score_in_scale
from timellm_pipeline.evaluation.report import baseline_forecasts, compare, score_test
from timellm_pipeline.evaluation.scores import TestScores, season_errors
from timellm_pipeline.model.array_windows import ArrayWindows
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.model.window_files import write_windows
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.retraining.gates import Gate, champion_gates, floor_gates
from timellm_pipeline.retraining.live import LiveErrors, live_errors
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import TrainingData, WindowData
from timellm_pipeline.series.windows import Windows

CLEAN_WINDOWS = 8  # number of windows that the loaded model forecasts again


@dataclass(frozen=True)
class ScoringContext:
    """The data and settings with which every model of one retraining is scored.

    Attributes:
        series: the validated series in original units.
        promoted_at: time stamp of the newest row when the champion was promoted; None if unknown.
    """

    data: TrainingData
    series: Panel
    parameters: Parameters
    source: BackboneSource
    promoted_at: str | None = None

    @property
    def test(self) -> Windows:
        """The newest windows, in the candidate's scale."""
        return self.data.windows("test")

    def of_both(self, champion: SavedModel) -> "ScoringContext":
        """The context of the series that the champion was trained on too. In a long table, series begin and end."""
        return replace(self, data=self.data.of_series(common_series(self.data, champion)))

    @property
    def season(self) -> int:
        """Season length in rows."""
        return self.parameters.evaluation.season or season_length(self.data.scaled.frequency)

    def load(self, saved: SavedModel) -> TimeLLM:
        """A saved model, loaded on this machine's device."""
        compute = compute_as_trained(saved.config.precision)
        return TimeLLM.from_saved(
            saved, self.source, compute, self.parameters.backbone, workers=self.parameters.workers
        )

    def score(self, saved: SavedModel, model: TimeLLM) -> Scored:
        """Errors and forecasts of a model on the newest windows, in the candidate's scale."""
        batch_size = self.parameters.evaluation.batch_size
        return score_in_scale(saved, model, self.series, self.test, self.data.scaler, batch_size)

    def live_errors(self, champion: SavedModel, scored: Scored) -> LiveErrors | None:
        """Errors of the champion on windows after its promotion."""
        if self.promoted_at is None:
            return None
        return live_errors(champion, scored.forecasts, self.data, self.promoted_at, self.season)


@dataclass(frozen=True)
class Judged:
    """The result of scoring.

    Attributes:
        gates: the gates of candidate and champion.
        candidate: errors of the candidate and the baselines, for the report.
        champion_mse: test MSE of the champion; None if it was not scored.
        live: live errors of the champion as plain values.
    """

    gates: list[Gate]
    candidate: dict[str, Any]
    champion_mse: float | None = None
    live: dict[str, Any] | None = None


@dataclass(frozen=True)
class Expected:
    """A few windows and this process's forecasts of them."""

    windows: ArrayWindows
    forecasts: np.ndarray


def common_series(data: WindowData, champion: SavedModel) -> list[str]:
    """Series that the champion was trained on and that have test windows; all series of a wide table."""
    tested, known = set(data.index.splits["test"].series.tolist()), set(champion.config.channels)
    if data.index.ids == tuple(champion.config.channels):
        return list(data.index.ids)
    return [name for number, name in enumerate(data.index.ids) if name in known and number in tested]


def score_candidate(context: ScoringContext, candidate: SavedModel, champion: SavedModel | None) -> Judged:
    """Score the candidate and the champion on the newest windows, one model in memory at a time."""
    parameters, test = context.parameters, context.test
    model = context.load(candidate)
    scored = context.score(candidate, model)
    which = np.unique(np.linspace(0, len(test) - 1, CLEAN_WINDOWS).round().astype(int))
    windows = ArrayWindows.chosen(test, which)
    expected = Expected(windows, model.forecast_all(windows, len(windows)))
    del model
    release_memory()
    reports = _compare_with_baselines(context, scored.scores)
    gates = floor_gates(reports, parameters.gates)
    scored_champion, live = None, None
    if not parameters.gates.champion:
        gates.append(Gate("champion", None, "not compared", "off"))
    elif champion is None:
        gates.append(Gate("champion", None, "there is no champion yet", ""))
    else:
        both = context.of_both(champion)
        try:
            scored_champion = both.score(champion, context.load(champion))
        except (ModelError, BackboneError) as error:
            is_missing = isinstance(error, BackboneError)
            gates.append(Gate("champion: can be scored", False, error.what, "the same windows for both", is_missing))
        else:
            first_truth = context.series.stamps_in_file[both.test.origins()[0] + 1]
            block = test.origins_per_horizon
            own = scored.of_series(both.test)
            gates += champion_gates(own, scored_champion, champion, first_truth, block, parameters.gates)
            live = both.live_errors(champion, scored_champion)
    if parameters.gates.load:
        release_memory()
        gates.append(_load_gate(context, candidate, expected))
    measured = {
        "version": candidate.folder.parent.name,
        "training_id": candidate.config.training_id,
        "content_id": candidate.config.content_id,
        "validation_mse": candidate.config.validation_mse,
        "test": {
            name: {**report["scaled"], "mase": report["original"]["mase"]}
            for name, report in _select_errors(reports).items()
        },
        "num_windows": len(test),
    }
    champion_mse = None if scored_champion is None else scored_champion.scores.sums.mse
    return Judged(gates, measured, champion_mse, live.model_dump() if live else None)


def release_memory() -> None:
    """Return the memory of deleted models to the device: a backbone is in a reference cycle until it is collected."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _compare_with_baselines(context: ScoringContext, candidate: TestScores) -> dict[str, Any]:
    """Errors of the candidate and the baselines by name."""
    data, season = context.data, context.season
    baselines = baseline_forecasts(data, context.parameters.window, season)
    scores = {"timellm": candidate}
    scores |= {name: score_test(forecast, context.test, data.scaler) for name, forecast in baselines.items()}
    return compare(scores, season_errors(data.scaled, data.scaler.rows, season))


def _select_errors(reports: dict[str, Any]) -> dict[str, Any]:
    keep = ("mse", "mae", "rmse")
    return {
        name: {**report, "scaled": {key: report["scaled"][key] for key in keep}} for name, report in reports.items()
    }


def _load_gate(context: ScoringContext, candidate: SavedModel, expected: Expected) -> Gate:
    """The gate that loads the saved model in a separate process and compares its forecasts of a few windows.

    The models of this process must be deleted before: the GPU needs memory for the other process.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_windows(expected.windows, folder)
        command = [
            sys.executable,
            "-m",
            "timellm_pipeline.retraining.clean_load",
            str(candidate.folder.resolve()),
            name,
        ]
        command += [str(context.source.cache), context.parameters.backbone.name]
        completed = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if completed.returncode:
            message = (completed.stderr.strip().splitlines() or ["no message"])[-1]
            found = f"the process ended with status {completed.returncode}: {message[:200]}"
            return Gate("load: in a clean process", False, found, "the same forecasts", retry=True)
        loaded = np.load(folder / "forecasts.npy")
    original = expected.forecasts
    difference = float(np.abs(original - loaded).max() / max(np.abs(original).max(), 1e-9))
    return Gate(
        "load: in a clean process",
        difference <= 1e-5,
        f"largest relative difference {difference:.1e}",
        "at most 1e-05",
    )
