"""Nodes that explain a training before it runs. They need no torch and no backbone."""

import logging
from typing import Any

from timellm_pipeline.parameters import ExplainParams, ModelParams, TrainingParams, WindowParams
from timellm_pipeline.pipelines.explain.explanations import plan_markdown
from timellm_pipeline.plots import explain as plots
from timellm_pipeline.series.borders import SplitBorders
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.plan import RunPlan

log = logging.getLogger(__name__)


def tabulate(
    run_plan: RunPlan, window: WindowParams, model: ModelParams, training: TrainingParams, explain: ExplainParams
) -> str:
    """The run plan as a Markdown table: each number, its meaning, its parameter, its function."""
    return plan_markdown(run_plan, training.accumulate, explain.seconds_per_step, window, model)


def draw(
    series: Panel,
    split_borders: SplitBorders,
    run_plan: RunPlan,
    model: ModelParams,
    explain: ExplainParams,
) -> tuple[Any, Any, Any, Any]:
    """Plots of the split borders, a window with its patches, a batch as tokens, and an epoch with its checkpoints."""
    borders, channel = split_borders.borders, split_borders.channels[-1]
    return (
        plots.draw_borders(series, borders, channel),
        plots.draw_window(series, borders, run_plan, channel),
        plots.draw_batch(run_plan, model),
        plots.draw_epoch(run_plan, explain.seconds_per_step),
    )
