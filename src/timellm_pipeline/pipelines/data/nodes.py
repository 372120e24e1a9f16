"""Nodes from the raw CSV to the run plan; numpy and pandas only, so they start in a second."""

import logging
from typing import Any

import pandas as pd

from timellm_pipeline.parameters import (
    DataParams,
    EvaluationParams,
    SplitParams,
    TrainingParams,
    WindowParams,
)
from timellm_pipeline.series.borders import RANGES, Borders, split_borders
from timellm_pipeline.series.identity import data_identity
from timellm_pipeline.series.plan import plan_run, plan_table
from timellm_pipeline.series.reading import RawFile, read_table
from timellm_pipeline.series.scaling import Scaler, fit_scaler, scale_series
from timellm_pipeline.series.validation import validate_series
from timellm_pipeline.series.windows import build_window_index, used_channels

log = logging.getLogger(__name__)


def validate(raw_series: RawFile, data: DataParams, window: WindowParams) -> pd.DataFrame:
    """The checked series."""
    return validate_series(read_table(raw_series, data), data, window)


def split(
    series: pd.DataFrame, split: SplitParams, window: WindowParams, evaluation: EvaluationParams
) -> dict[str, Any]:
    """Row ranges, the channels in use, and the data id that everything made from them carries."""
    borders = split_borders(len(series), split, window, series.attrs["file"], series.attrs["frequency"])
    channels = used_channels([name for name in series.columns if name != "date"], window)
    data_id = data_identity(series, borders, window, evaluation)
    return {"data_id": data_id, "channels": channels, "borders": borders.model_dump(mode="json")}


def fit(series: pd.DataFrame, split_borders: dict[str, Any]) -> dict[str, Any]:
    """The scaler of the training rows."""
    borders = Borders.model_validate(split_borders["borders"])
    return fit_scaler(series, split_borders["channels"], borders, split_borders["data_id"]).model_dump(mode="json")


def scale(series: pd.DataFrame, scaler: dict[str, Any]) -> pd.DataFrame:
    """The series in scaled units."""
    return scale_series(series, Scaler.model_validate(scaler))


def index(
    scaled_series: pd.DataFrame,
    split_borders: dict[str, Any],
    window: WindowParams,
    evaluation: EvaluationParams,
) -> pd.DataFrame:
    """Every window of training, validation and test."""
    channels = [name for name in scaled_series.columns if name != "date"]
    borders = Borders.model_validate(split_borders["borders"])
    gaps = scaled_series.attrs.get("gaps")
    return build_window_index(channels, borders, window, evaluation, split_borders["data_id"], gaps)


def plan(
    window_index: pd.DataFrame,
    split_borders: dict[str, Any],
    window: WindowParams,
    training: TrainingParams,
    evaluation: EvaluationParams,
) -> dict[str, Any]:
    """Every count of the run, as JSON and as a table in the log."""
    windows = {name: int((window_index["split"] == name).sum()) for name in RANGES}
    made = plan_run(
        windows,
        len(split_borders["channels"]),
        Borders.model_validate(split_borders["borders"]),
        window,
        training,
        evaluation,
        split_borders["data_id"],
    )
    log.info("The run plan:\n%s", plan_table(made))
    if window.skipped_points:
        log.warning(
            "window.stride %s exceeds window.patch_len %s: %s of every %s points are in no patch",
            window.stride,
            window.patch_len,
            window.skipped_points,
            window.stride,
        )
    return made.model_dump(mode="json")
