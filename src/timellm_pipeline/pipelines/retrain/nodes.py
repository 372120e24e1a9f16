"""Nodes of retraining. They import torch when they run, because the import takes seconds."""

import logging
from typing import Any

import pandas as pd

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import GatesParams, Parameters, RetrainParams
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.series.borders import SplitBorders
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import WindowIndex
from timellm_pipeline.training.checkpoint import CheckpointStore

log = logging.getLogger(__name__)


def with_gates(settings: Parameters, retrain: RetrainParams, gates: GatesParams) -> Parameters:
    """The settings of a training, with those of the retraining and its gates."""
    return settings.model_copy(update={"retrain": retrain, "gates": gates})


def retrain(
    retrain_settings: Parameters,
    series: Panel,
    split_borders: SplitBorders,
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    run_plan: RunPlan,
    backbone: BackboneSource,
    step_checkpoints: CheckpointStore,
    registry: Registry,
    run_context: dict[str, Any],
) -> dict[str, Any]:
    """Train a candidate, apply the gates, and record the decision. Returns the report."""
    from timellm_pipeline.retraining.retrain import Retraining
    from timellm_pipeline.retraining.retrain import retrain as run

    inputs = Retraining(
        data=TrainingData(scaled_series, scaler, window_index, run_plan),
        series=series,
        borders=split_borders.borders,
        parameters=retrain_settings,
        source=backbone,
        store=step_checkpoints,
        registry=registry,
        version=run_context["version"],
    )
    return {**run(inputs, pd.Timestamp.now("UTC")), "run": run_context}


def rollback(registry: Registry) -> dict[str, Any]:
    """Restore the previous champion. Returns the two versions and all decisions."""
    with registry.alone():
        before, after = registry.rollback()
    log.info("rolled back from version %s to version %s", before, after)
    return {"from": before, "to": after, "decisions": [decision.facts() for decision in registry.journal().decisions]}
