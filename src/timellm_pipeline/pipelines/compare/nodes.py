"""Nodes of the comparison. They import torch when they run, because the import takes seconds."""

import logging
from typing import Any

import pandas as pd

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import CompareParams, Parameters
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.prepare import TrainingData
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import WindowIndex
from timellm_pipeline.training.checkpoint import CheckpointStore

log = logging.getLogger(__name__)


def with_variants(settings: Parameters, compare: CompareParams) -> Parameters:
    """The settings of a training, with the variants to compare."""
    return settings.model_copy(update={"compare": compare})


def compare(
    compare_settings: Parameters,
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    run_plan: RunPlan,
    backbone: BackboneSource,
    step_checkpoints: CheckpointStore,
    run_context: dict[str, Any],
) -> tuple[dict[str, Any], str, pd.DataFrame]:
    """The report of all variants, its table, and the errors of each origin. No model version is written."""
    from timellm_pipeline.training.compare import compare_variants

    data = TrainingData(scaled_series, scaler, window_index, run_plan)
    version = f"compare {run_context['version']}"
    report, origins = compare_variants(data, compare_settings, backbone, step_checkpoints, version)
    log.info("The comparison:\n%s", report.table())
    return report.model_dump(mode="json"), report.table(), origins
