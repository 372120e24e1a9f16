"""One retraining: train a candidate on the newest data, apply the gates, and record the decision."""

import logging
from dataclasses import dataclass
from typing import Any

import pandas as pd

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.retraining.gates import Gate, data_gates, gate_table
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.retraining.scoring import ScoringContext, score_candidate
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.preparation import prepare_training, refuse_other_linear
from timellm_pipeline.training.run import train_model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retraining:
    """The inputs of one retraining.

    Attributes:
        series: the validated series in original units.
        version: name of the candidate's model version.
    """

    data: TrainingData
    series: Panel
    borders: Borders
    parameters: Parameters
    source: BackboneSource
    store: CheckpointStore
    registry: Registry
    version: str


def retrain(inputs: Retraining, now: pd.Timestamp) -> dict[str, Any]:
    """Train a candidate on the newest data, and promote or refuse it.

    Args:
        now: the current time, with a time zone; the age of the newest row is measured from it.

    Returns:
        `retrain_report`: `decision` (promoted, refused, nothing new), `reason`, `gates`, `candidate`, `champion`.

    Raises UserError as `train_model` does, and TrainingError when another retraining is running.
    """
    registry, parameters, series = inputs.registry, inputs.parameters, inputs.series
    with registry.alone():
        registry.repair()
        current = registry.champion()
        champion = registry.model(current.version) if current else None
        training = prepare_training(inputs.data, parameters, inputs.source, inputs.store)
        if champion is not None and parameters.retrain.start == "champion":
            refuse_other_linear(champion, parameters)
        work = digest_of({**training.facts, "start": parameters.retrain.start})
        report: dict[str, Any] = {
            "newest_row": str(series.stamps[-1]),
            "raw_sha256": series.source.sha256,
            "work": work,
            "champion": current.model_dump(mode="json", exclude={"decided_in"}) if current else None,
            "candidate": None,
            "steps_run": 0,
        }
        earlier = registry.journal().find_work(work)
        if earlier is not None and not parameters.training.force:
            detail = f"as version {earlier.version}" if earlier.version else "before anything was trained"
            reason = f"this training was {earlier.decision} earlier, {detail}"
            log.info("nothing new: %s", reason)
            registry.prune(inputs.store)  # an interrupted run may not have pruned
            return {**report, "decision": "nothing new", "reason": reason, "gates": []}
        gates = data_gates(series, inputs.borders, champion, parameters.gates, now)
        if _failed(gates):
            return _decide(registry, report, gates, None, None)
        start = champion if parameters.retrain.start == "champion" else None
        result = train_model(inputs.data, parameters, inputs.source, inputs.store, inputs.version, start)
        report["steps_run"], report["resumed_from"] = result.record.steps_run, result.record.resumed_from
        with registry.candidate(result.model, inputs.version) as candidate:
            context = ScoringContext(inputs.data, series, parameters, inputs.source)
            scored = score_candidate(context, candidate, champion)
            report["candidate"] = scored.candidate
            if scored.champion_mse is not None:
                report["champion"] = {**report["champion"], "test_mse": scored.champion_mse}
            report = _decide(registry, report, gates + scored.gates, inputs.version, candidate.config.training_id)
        registry.prune(inputs.store)
        return report


def _decide(
    registry: Registry, report: dict[str, Any], gates: list[Gate], version: str | None, training_id: str | None
) -> dict[str, Any]:
    failed = _failed(gates)
    decision = "refused" if failed or version is None or training_id is None else "promoted"
    reason = "; ".join(f"{gate.gate}: {gate.found} (limit: {gate.limit})" for gate in failed) or "every gate passed"
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
