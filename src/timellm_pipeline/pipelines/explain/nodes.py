"""Nodes that explain a training before it runs; no torch, no backbone."""

import logging
from typing import Any

import pandas as pd

from timellm_pipeline.evaluation import diagrams
from timellm_pipeline.parameters import ExplainParams, ModelParams, TrainingParams
from timellm_pipeline.series.borders import Borders
from timellm_pipeline.series.plan import RunPlan, plan_markdown

log = logging.getLogger(__name__)


def tell(run_plan: dict[str, Any], training: TrainingParams, explain: ExplainParams) -> str:
    """The run plan as a Markdown table: each number, what it means, its parameter, its function."""
    plan = RunPlan.model_validate(run_plan)
    return plan_markdown(plan, training.accumulate, explain.seconds_per_step)


def draw(
    series: pd.DataFrame,
    split_borders: dict[str, Any],
    run_plan: dict[str, Any],
    model: ModelParams,
    explain: ExplainParams,
) -> tuple[Any, Any, Any, Any]:
    """The borders, one window in its patches, a batch on its way to tokens, and an epoch with its checkpoints."""
    plan, borders = RunPlan.model_validate(run_plan), Borders.model_validate(split_borders["borders"])
    channel = split_borders["channels"][-1]
    return (
        diagrams.draw_borders(series, borders, channel),
        diagrams.draw_window(series, borders, plan, channel),
        diagrams.draw_batch(plan, model),
        diagrams.draw_epoch(plan, explain.seconds_per_step),
    )
