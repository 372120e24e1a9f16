"""One retraining: train a candidate on the newest data, apply the gates, and record the decision."""

import logging
from dataclasses import dataclass
from typing import Any

import pandas as pd

from timellm_pipeline.errors import ParameterError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.retraining.data_gates import data_gates
from timellm_pipeline.retraining.gates import Gate, gate_table
from timellm_pipeline.retraining.journal import PROMOTED, REFUSED
from timellm_pipeline.retraining.registry import Champion, Registry
from timellm_pipeline.retraining.scoring import ScoringContext, score_candidate
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.clock import age_of
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.launch import train
from timellm_pipeline.training.preparation import prepare_training

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

    The data gates depend on the time and cost nothing, so they are applied in every run. A candidate is decided once
    for everything that can change the decision. If only gates or champion have changed, the finished training is
    scored again and nothing is trained.

    Args:
        now: the current time, with a time zone; the age of the newest row is measured from it.

    Returns:
        `retrain_report`: `decision` (promoted, refused, nothing new), `reason`, `gates`, `candidate`, `champion`.

    Raises UserError as `train_model` does, and TrainingError when another retraining is running.
    """
    registry, parameters, series = inputs.registry, inputs.parameters, inputs.series
    if parameters.workers.shard == "layers" and parameters.gates.load:
        raise ParameterError(
            "the gate `load` loads the complete backbone in one process, which workers.shard=layers is meant to avoid",
            where="gates.load",
            do="set gates.load=false, or workers.shard=none",
        )
    with registry.alone():
        registry.repair()
        current = registry.champion()
        champion = registry.model(current.version) if current else None
        gates = data_gates(series, inputs.data, inputs.borders, champion, parameters.gates, now)
        start = champion if parameters.retrain.start == "champion" else None
        training = prepare_training(inputs.data, parameters, inputs.source, inputs.store, start)
        work = digest_of({**training.facts, "start": parameters.retrain.start})
        report: dict[str, Any] = {
            "time": str(now),
            "newest_row": str(series.stamps_in_file[-1]),
            "newest_row_age": age_of(series, now).total_seconds(),
            "raw_sha256": series.source.sha256,
            "work": work,
            "basis": digest_of({"work": work, **_deciding(parameters), "champion": current and current.version}),
            "champion": current.model_dump(mode="json", exclude={"decided_in"}) if current else None,
            "candidate": None,
            "steps_run": 0,
        }
        if _failed(gates):
            return _decide(registry, report, gates, None, None)
        earlier = _decided_before(registry, report)
        if earlier and not parameters.training.force:
            log.info("nothing new: %s", earlier)
            registry.prune(inputs.store)  # an interrupted run may not have pruned
            return {**report, "decision": "nothing new", "reason": earlier, "gates": []}
        result = train(inputs.data, parameters, inputs.source, inputs.store, inputs.version, start)
        report["steps_run"], report["resumed_from"] = result.record.steps_run, result.record.resumed_from
        with registry.candidate(result.model, inputs.version) as candidate:
            promoted_at = _promoted_at(registry, current)
            context = ScoringContext(inputs.data, series, parameters, inputs.source, promoted_at)
            scored = score_candidate(context, candidate, champion)
            report["candidate"] = scored.candidate
            if scored.champion_mse is not None:
                report["champion"] = {**report["champion"], "test_mse": scored.champion_mse, "live": scored.live}
            report = _decide(registry, report, gates + scored.gates, inputs.version, candidate.config.training_id)
        registry.prune(inputs.store)
        return report


def _deciding(parameters: Parameters) -> dict[str, Any]:
    """Parameters that can change the decision about the same training."""
    return {
        "gates": parameters.gates.model_dump(),
        "evaluation": parameters.evaluation.model_dump(),
        "split": parameters.split.model_dump(),
    }


def _promoted_at(registry: Registry, champion: Champion | None) -> str | None:
    """Time stamp of the newest row when the champion was promoted, or None if the journal does not say it."""
    promotion = registry.journal().promotion(champion.version) if champion else None
    return promotion.newest_row if promotion else None


def _decided_before(registry: Registry, report: dict[str, Any]) -> str | None:
    """Why this retraining would change nothing, or None."""
    journal, work = registry.journal(), report["work"]
    champion = report["champion"] and journal.promotion(report["champion"]["version"])
    if champion and champion.work == work:
        return f"this training was promoted earlier, as version {champion.version}, the champion"
    undone = next((one for one in reversed(journal.rolled_back()) if one.work == work), None)
    if undone is not None:
        return f"this training was rolled back earlier, as version {undone.version}; training.force=true tries it again"
    earlier = journal.find_basis(report["basis"])
    if earlier is not None:
        return f"this training was {earlier.decision} earlier, as version {earlier.version}: {earlier.reason}"
    return None


def _decide(
    registry: Registry, report: dict[str, Any], gates: list[Gate], version: str | None, training_id: str | None
) -> dict[str, Any]:
    failed = _failed(gates)
    decision = REFUSED if failed or version is None or training_id is None else PROMOTED
    reason = "; ".join(f"{gate.gate}: {gate.found} (limit: {gate.limit})" for gate in failed) or "every gate passed"
    report |= {"decision": decision, "reason": reason, "gates": [gate.facts() for gate in gates]}
    log.info("The gates:\n%s", gate_table(report["gates"]))
    candidate, champion = report["candidate"] or {}, report["champion"] or {}
    registry.decide(
        decision,
        version,
        work=report["work"],
        # A refusal before training, or for a failure of the machine, says nothing about the candidate.
        basis=None if version is None or any(gate.retry for gate in failed) else report["basis"],
        reason=reason,
        training_id=training_id,
        test_mse=candidate.get("test", {}).get("timellm", {}).get("mse"),
        newest_row=report["newest_row"],
        gates=report["gates"],
        live=champion.get("live"),
    )
    log.info("%s: %s", decision, reason)
    return report


def _failed(gates: list[Gate]) -> list[Gate]:
    return [gate for gate in gates if gate.passed is False]
