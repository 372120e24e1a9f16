"""Nodes of the test. torch takes seconds to import, so they import it when they run."""

import logging
from typing import Any

import pandas as pd

from timellm_pipeline.parameters import (
    BackboneParams,
    DataParams,
    EvaluationParams,
    SplitParams,
    WindowParams,
)

log = logging.getLogger(__name__)


def settings_of_model(timellm_model: Any) -> tuple[DataParams, SplitParams, WindowParams]:
    """The groups that the data pipeline needs, as the model was trained with them."""
    config = timellm_model.config
    return config.data, config.split, config.window


def prototypes(
    timellm_model: Any,
    backbone: Any,
    scaled_series: pd.DataFrame,
    window_index: pd.DataFrame,
    backbone_place: BackboneParams,
) -> tuple[pd.DataFrame, Any]:
    """The words nearest to the prototypes that the test's patches attend to, as a table and a heat map."""
    from timellm_pipeline.evaluation.prototypes import plot_prototypes, prototype_lines, read_prototypes
    from timellm_pipeline.model.compute import resolve_compute
    from timellm_pipeline.series.windows import windows_of

    model = timellm_model.load(backbone, resolve_compute("no"), backbone_place)
    test = windows_of(scaled_series, window_index, "test", timellm_model.config.window)
    table, attention = read_prototypes(model, test, scaled_series["date"])
    log.info("Prototypes by the attention they get, with the nearest words:\n%s", prototype_lines(table))
    return table, plot_prototypes(table, attention)


def evaluate(
    timellm_model: Any,
    backbone: Any,
    scaled_series: pd.DataFrame,
    scaler: dict[str, Any],
    window_index: pd.DataFrame,
    evaluation: EvaluationParams,
    backbone_place: BackboneParams,
) -> tuple[dict[str, Any], pd.DataFrame, Any, Any, Any]:
    """Metrics beside the baselines, errors by origin, and pictures: forecasts, error by horizon, error by origin."""
    from timellm_pipeline.evaluation.plots import plot_forecasts, plot_horizon, plot_origins
    from timellm_pipeline.evaluation.report import report_table, run_test, words_for
    from timellm_pipeline.model.compute import compute_as_trained
    from timellm_pipeline.series.scaling import Scaler

    own_scaler = Scaler.model_validate(scaler)
    words = words_for(timellm_model, scaled_series, own_scaler)
    compute = compute_as_trained(timellm_model.config.precision)
    test = run_test(
        timellm_model,
        timellm_model.load(backbone, compute, backbone_place, words),
        compute,
        scaled_series,
        own_scaler,
        window_index,
        evaluation,
    )
    log.info("The test, %s windows:\n%s", f"{test.metrics['num_windows']:,}", report_table(test.metrics))
    pictures = plot_forecasts(test.examples), plot_horizon(test.metrics)
    return test.metrics, test.origins, *pictures, plot_origins(test.origins, timellm_model.config.window.pred_len)
