"""Nodes of retraining. torch takes seconds to import, so they import it when they run."""

import logging
from typing import Any

import pandas as pd

from timellm_pipeline.parameters import GatesParams, Parameters, RetrainParams

log = logging.getLogger(__name__)


def with_gates(settings: Parameters, retrain: RetrainParams, gates: GatesParams) -> Parameters:
    """The settings of a training, and those of the decision about it."""
    return settings.model_copy(update={"retrain": retrain, "gates": gates})


def retrain(
    retrain_settings: Any,
    series: pd.DataFrame,
    split_borders: dict[str, Any],
    scaled_series: pd.DataFrame,
    scaler: dict[str, Any],
    window_index: pd.DataFrame,
    run_plan: dict[str, Any],
    backbone: Any,
    step_checkpoints: Any,
    registry: Any,
    run_context: dict[str, Any],
) -> dict[str, Any]:
    """Train a candidate, hold it against gates and champion, and write the decision down."""
    from timellm_pipeline.pipelines.train.nodes import gather_inputs
    from timellm_pipeline.retraining.retrain import retrain as run
    from timellm_pipeline.series.borders import Borders

    report = run(
        gather_inputs(scaled_series, scaler, window_index, run_plan),
        series,
        Borders.model_validate(split_borders["borders"]),
        retrain_settings,
        backbone,
        step_checkpoints,
        registry,
        run_context["version"],
        pd.Timestamp.now("UTC"),
    )
    return {**report, "run": run_context}


def rollback(registry: Any) -> dict[str, Any]:
    """Make the champion before this one champion again."""
    with registry.alone():
        before, after = registry.rollback()
    log.info("rolled back from version %s to version %s", before, after)
    return {"from": before, "to": after, "decisions": [one.facts() for one in registry.journal().decisions]}
