"""Nodes of evaluation. They import torch when they run, because the import takes seconds."""

import logging
from typing import Any

import pandas as pd

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import BackboneParams, EvaluationParams, SplitParams, WindowParams, WorkersParams
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import WindowData
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import WindowIndex

log = logging.getLogger(__name__)


def settings_of_model(timellm_model: SavedModel) -> tuple[SplitParams, WindowParams]:
    """The parameter groups that the data pipeline needs, with the values that the model was trained with."""
    return timellm_model.config.split, timellm_model.config.window


def evaluate(
    timellm_model: SavedModel,
    backbone: BackboneSource,
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    evaluation: EvaluationParams,
    backbone_place: BackboneParams,
    workers: WorkersParams,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Any, Any, Any]:
    """Metrics of the model and the baselines, errors by origin and by series, and plots of forecasts and errors."""
    from timellm_pipeline.evaluation.by_series import series_lines
    from timellm_pipeline.evaluation.report import evaluate_saved, report_table
    from timellm_pipeline.plots.training import plot_forecasts, plot_horizon, plot_origins

    data = WindowData(scaled_series, scaler, window_index)
    test = evaluate_saved(timellm_model, backbone, backbone_place, data, evaluation, workers)
    log.info("The test, %s windows:\n%s", f"{test.metrics['num_windows']:,}", report_table(test.metrics))
    if lines := series_lines(test.series):
        log.info("The worst and the best of %s series (series_metrics has all):\n%s", f"{len(test.series):,}", lines)
    tables = test.metrics, test.origins, test.series
    plots = plot_forecasts(test.examples), plot_horizon(test.metrics)
    return *tables, *plots, plot_origins(test.origins, timellm_model.config.window.pred_len)


def prototypes(
    timellm_model: SavedModel,
    backbone: BackboneSource,
    scaled_series: Panel,
    scaler: Scaler,
    window_index: WindowIndex,
    backbone_place: BackboneParams,
) -> tuple[pd.DataFrame, Any]:
    """The words nearest to the prototypes that patches of the test attend to, as a table and a heat map."""
    from timellm_pipeline.evaluation.prototypes import prototype_lines, read_prototypes
    from timellm_pipeline.model.compute import resolve_compute
    from timellm_pipeline.model.timellm import TimeLLM
    from timellm_pipeline.plots.prototypes import plot_prototypes

    model = TimeLLM.from_saved(timellm_model, backbone, resolve_compute("no"), backbone_place, correction=True)
    table, attention = read_prototypes(model, WindowData(scaled_series, scaler, window_index).windows("test"))
    log.info("Prototypes by the attention they get, with the nearest words:\n%s", prototype_lines(table))
    return table, plot_prototypes(table, attention)
