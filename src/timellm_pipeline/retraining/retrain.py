"""One retraining: newest data, a candidate, gates, and a decision that is written down."""

import logging
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.errors import BackboneError, ModelError
from timellm_pipeline.evaluation.report import baseline_forecasts, compare, score_test
from timellm_pipeline.evaluation.rivals import Scored, score_in_scale
from timellm_pipeline.evaluation.scores import TestScores, season_errors
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute, compute_as_trained
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.retraining.gates import Gate, champion_gates, data_gates, floor_gates, gate_table
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.windows import Windows, every_window, windows_of
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.preparation import TrainingInputs, prepare_training
from timellm_pipeline.training.run import train_model

log = logging.getLogger(__name__)

MOST_LINEAR = 2_000_000  # training windows that the linear baseline sees at most
CLEAN_WINDOWS = 8  # windows that the loaded model forecasts again


@dataclass(frozen=True)
class Ground:
    """What every model of one retraining is scored on."""

    series: pd.DataFrame
    test: Windows
    inputs: TrainingInputs
    parameters: Parameters
    source: BackboneSource

    def score(self, saved: SavedModel) -> tuple[Scored, Compute]:
        """A model's forecasts of the newest windows, in the candidate's scale."""
        compute = compute_as_trained(saved.config.precision)
        model = saved.load(self.source, compute, self.parameters.backbone)
        scaler, batch_size = self.inputs.scaler, self.parameters.evaluation.batch_size
        return score_in_scale(saved, model, compute, self.series, self.test, scaler, batch_size), compute


def retrain(
    inputs: TrainingInputs,
    series: pd.DataFrame,
    borders: Borders,
    parameters: Parameters,
    source: BackboneSource,
    store: CheckpointStore,
    registry: Registry,
    version: str,
    now: pd.Timestamp,
) -> dict[str, Any]:
    """Train a candidate on the newest data, and promote it or refuse it.

    Args:
        series: the checked series in original units.
        version: name that the candidate's model version gets.
        now: what the age of the newest row is measured from.

    Returns:
        `retrain_report`: `decision` (promoted, refused, nothing new), `reason`, `gates`, `candidate`, `champion`.

    Raises UserError as `train_model` does, and TrainingError when another retraining is under way.
    """
    with registry.alone():
        registry.repair()
        current = registry.champion()
        champion = registry.model(current.version) if current else None
        training = prepare_training(inputs, parameters, source, store)
        work = digest_of({**training.facts, "start": parameters.retrain.start})
        report: dict[str, Any] = {
            "newest_row": str(series["date"].iloc[-1]),
            "raw_sha256": series.attrs.get("sha256"),
            "work": work,
            "champion": current.model_dump(mode="json", exclude={"decided_in"}) if current else None,
            "candidate": None,
            "steps_run": 0,
        }
        before = registry.journal().find_work(work)
        if before is not None and not parameters.training.force:
            place = f"as version {before.version}" if before.version else "before anything was trained"
            reason = f"this training was {before.decision} earlier, {place}"
            log.info("nothing new: %s", reason)
            registry.prune(store)  # an interrupted run may not have come to it
            return {**report, "decision": "nothing new", "reason": reason, "gates": []}
        gates = data_gates(series, borders, champion, parameters.gates, now)
        if _failed(gates):
            return _decide(registry, report, gates, None, None)
        start = champion if parameters.retrain.start == "champion" else None
        result = train_model(inputs, parameters, source, store, version, start)
        report["steps_run"] = result.record["steps_run"]
        report["resumed_from"] = result.record["resumed_from"]
        test = windows_of(inputs.scaled_series, inputs.window_index, "test", parameters.window)
        ground = Ground(series, test, inputs, parameters, source)
        with registry.candidate(result.model, version) as candidate:
            report, gates = _score(ground, candidate, champion, report, gates)
            report = _decide(registry, report, gates, version, candidate.config.training_id)
        registry.prune(store)
        return report


def _score(
    ground: Ground, candidate: SavedModel, champion: SavedModel | None, report: dict[str, Any], gates: list[Gate]
) -> tuple[dict[str, Any], list[Gate]]:
    """Score the candidate and the champion on the newest windows. Returns the report and the gates, extended."""
    parameters, test = ground.parameters, ground.test
    scored, compute = ground.score(candidate)
    scores, reports = _beside_baselines(ground, scored.scores)
    gates = gates + floor_gates(scores, reports, parameters.gates)
    rival = None
    if champion is not None and parameters.gates.champion:
        try:
            rival, _ = ground.score(champion)
        except (ModelError, BackboneError) as error:
            gates.append(Gate("champion: can be scored", False, error.what, "the same windows for both"))
    first_truth = ground.series["date"].iloc[int(test.start.min()) + test.seq_len]
    block = -(-test.pred_len // parameters.evaluation.test_step)
    if rival is not None or champion is None or not parameters.gates.champion:
        gates += champion_gates(scored, rival, champion, first_truth, block, parameters.gates)
    if parameters.gates.load:
        gates.append(_load_gate(candidate, ground, compute))
    measured = {
        "version": candidate.folder.parent.name,
        "training_id": candidate.config.training_id,
        "content_id": candidate.config.content_id,
        "validation_mse": candidate.config.validation_mse,
        "test": {name: {**of["scaled"], "mase": of["original"]["mase"]} for name, of in _short(reports).items()},
        "num_windows": len(test),
    }
    report = {**report, "candidate": measured}
    if rival is not None:
        report["champion"] = {**report["champion"], "test_mse": rival.scores.sums.mse}
    return report, gates


def _decide(
    registry: Registry, report: dict[str, Any], gates: list[Gate], version: str | None, training_id: str | None
) -> dict[str, Any]:
    failed = _failed(gates)
    decision = "refused" if failed or version is None or training_id is None else "promoted"
    reason = "; ".join(f"{gate.gate}: {gate.found} (limit: {gate.limit})" for gate in failed) or "every gate was passed"
    report |= {"decision": decision, "reason": reason, "gates": [gate.facts() for gate in gates]}
    log.info("The gates:\n%s", gate_table(report["gates"]))
    candidate = report["candidate"] or {}
    registry.decide(
        decision,
        version,
        work=report["work"],
        reason=reason,
        training_id=training_id,
        test_mse=candidate.get("test", {}).get("timellm", {}).get("mse"),
        newest_row=report["newest_row"],
    )
    log.info("%s: %s", decision, reason)
    return report


def _failed(gates: list[Gate]) -> list[Gate]:
    return [gate for gate in gates if gate.passed is False]


def _beside_baselines(ground: Ground, candidate: TestScores) -> tuple[dict[str, TestScores], dict[str, Any]]:
    inputs, parameters = ground.inputs, ground.parameters
    scaled, scaler, window = inputs.scaled_series, inputs.scaler, parameters.window
    season = parameters.evaluation.season or season_length(scaled.attrs["frequency"])
    validation = windows_of(scaled, inputs.window_index, "validation", window)
    baselines = baseline_forecasts(every_window(scaled, scaler.rows, window, MOST_LINEAR), validation, season)
    scores = {"timellm": candidate}
    scores |= {name: score_test(forecast, ground.test, scaler) for name, forecast in baselines.items()}
    return scores, compare(scores, season_errors(scaled, scaler.rows, season))


def _short(reports: dict[str, Any]) -> dict[str, Any]:
    keep = ("mse", "mae", "rmse")
    return {name: {**of, "scaled": {key: of["scaled"][key] for key in keep}} for name, of in reports.items()}


def _load_gate(candidate: SavedModel, ground: Ground, compute: Compute) -> Gate:
    """Load the saved model in a process of its own, and compare its forecasts of a few windows."""
    which = np.unique(np.linspace(0, len(ground.test) - 1, CLEAN_WINDOWS).round().astype(int))
    windows = ground.test.gather(which)[0]
    model = candidate.load(ground.source, compute, ground.parameters.backbone)
    from timellm_pipeline.model.future import forecast_windows_of

    here = forecast_windows_of(model, windows, len(windows))
    del model
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "windows.npy", windows)
        command = [sys.executable, "-m", "timellm_pipeline.model.clean_load", str(candidate.folder.resolve()), name]
        command += [str(ground.source.cache), ground.parameters.backbone.name]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return Gate("load: in a clean process", False, said[:200], "the same forecasts")
        there = np.load(folder / "forecasts.npy")
    off = float(np.abs(here - there).max() / max(np.abs(here).max(), 1e-9))
    return Gate("load: in a clean process", off <= 1e-5, f"largest relative difference {off:.1e}", "at most 1e-05")
