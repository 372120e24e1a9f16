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


def evaluate(
    timellm_model: Any,
    backbone: Any,
    scaled_series: pd.DataFrame,
    scaler: dict[str, Any],
    window_index: pd.DataFrame,
    evaluation: EvaluationParams,
    backbone_place: BackboneParams,
) -> tuple[dict[str, Any], Any, Any]:
    """Metrics beside the baselines, a few forecasts of the target drawn, and the error by horizon."""
    from timellm_pipeline.evaluation.plots import plot_forecasts, plot_horizon
    from timellm_pipeline.evaluation.report import report_table, run_test
    from timellm_pipeline.model.compute import compute_as_trained
    from timellm_pipeline.series.scaling import Scaler

    compute = compute_as_trained(timellm_model.config.precision)
    test = run_test(
        timellm_model,
        timellm_model.load(backbone, compute, backbone_place),
        compute,
        scaled_series,
        Scaler.model_validate(scaler),
        window_index,
        evaluation,
    )
    log.info("The test, %s windows:\n%s", f"{test.metrics['num_windows']:,}", report_table(test.metrics))
    return test.metrics, plot_forecasts(test.examples), plot_horizon(test.metrics)
