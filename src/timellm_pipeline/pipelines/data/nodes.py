"""Nodes of the data pipeline that do more than call a function of `series/prepare.py`."""

import logging

from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import DataParams, EvaluationParams, ModelParams, TrainingParams, WindowParams
from timellm_pipeline.pipelines.explain.explanations import outcome, plan_table, steps_reason
from timellm_pipeline.series import prepare
from timellm_pipeline.series.borders import SplitBorders
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.reading import RawFile
from timellm_pipeline.series.validation import Wanted
from timellm_pipeline.series.windows import WindowIndex

log = logging.getLogger(__name__)


def validate_for_model(raw_series: RawFile, timellm_model: SavedModel, data: DataParams) -> Panel:
    """The series that a model is scored on: its own channels, or all of another data set."""
    config = timellm_model.config
    return read_for_model(raw_series, timellm_model, data, Wanted.for_scoring(config.channels, config.window.target))


def read_for_model(raw_series: RawFile, timellm_model: SavedModel, data: DataParams, wanted: Wanted) -> Panel:
    """Series of a file for a trained model. UseTrainingFileHook sets `data` to the settings of training."""
    log.info("model version %s, series from %s", timellm_model.folder.parent.name, raw_series.path)
    return prepare.read_series(raw_series, data, wanted)


def plan(
    window_index: WindowIndex,
    split_borders: SplitBorders,
    window: WindowParams,
    model: ModelParams,
    training: TrainingParams,
    evaluation: EvaluationParams,
) -> RunPlan:
    """The run plan: every count of the run. Also logged as a table, with what the training may end with."""
    run_plan = prepare.plan(window_index, split_borders, window, training, evaluation)
    log.info("The run plan:\n%s", plan_table(run_plan))
    if reason := steps_reason(run_plan, window, evaluation):
        log.info(reason)
    log.info(outcome(run_plan, window, model))
    if window.skipped_points:
        log.warning(
            "window.stride %s exceeds window.patch_len %s: %s of every %s points are in no patch",
            window.stride,
            window.patch_len,
            window.skipped_points,
            window.stride,
        )
    return run_plan
