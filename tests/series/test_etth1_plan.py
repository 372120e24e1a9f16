"""The plan of the real ETTh1: what the design promises, on the file it speaks of."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.parameters import DataParams, EvaluationParams, SplitParams, TrainingParams, WindowParams
from timellm_pipeline.series.borders import split_borders
from timellm_pipeline.series.identity import data_identity
from timellm_pipeline.series.plan import RunPlan, plan_run
from timellm_pipeline.series.scaling import fit_scaler
from timellm_pipeline.series.validation import validate_series
from timellm_pipeline.series.windows import build_window_index, used_channels

pytestmark = pytest.mark.real_data
SPLIT, EVALUATION = SplitParams(method="ett_hour"), EvaluationParams()


@pytest.fixture(scope="module")
def etth1() -> pd.DataFrame:
    """The checked series of a real ETTh1.csv."""
    path = os.environ.get("TIMELLM_ETTH1")
    if not path:  # the file may not be redistributed, so no clone has it; CI sets the variable
        pytest.skip("TIMELLM_ETTH1 is not set: give the path of a real ETTh1.csv")
    raw = pd.read_csv(path)
    raw.attrs = {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
    return validate_series(raw, DataParams(), WindowParams())


def plan_of(series: pd.DataFrame, features: str, seq_len: int = 256) -> RunPlan:
    """The plan of the series with batches of 2."""
    window = WindowParams.model_validate({"seq_len": seq_len, "pred_len": 96, "features": features})
    borders = split_borders(len(series), SPLIT, window)
    channels = used_channels(list(series.columns[1:]), window)
    data_id = data_identity(series, borders, window, EVALUATION)
    counts = build_window_index(channels, borders, window, EVALUATION, data_id)["split"].value_counts().to_dict()
    return plan_run(counts, len(channels), borders, window, TrainingParams(batch_size=2), EVALUATION, data_id)


def test_real_etth1_is_hourly_with_seven_channels(etth1: pd.DataFrame) -> None:
    """Without it validation could refuse the very file of every published table, or misread its frequency."""
    assert list(etth1.columns) == ["date", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert (len(etth1), etth1.attrs["frequency"]) == (17_420, "h")
    assert (str(etth1["date"].iloc[0]), str(etth1["date"].iloc[-1])) == ("2016-07-01 00:00:00", "2018-06-26 19:00:00")


@pytest.mark.parametrize(("features", "windows", "steps"), [("M", 58_023, 29_011), ("S", 8_289, 4_144)])
def test_real_etth1_has_the_numbers_of_the_design(etth1: pd.DataFrame, features: str, windows: int, steps: int) -> None:
    """Without it the numbers could hold for a made-up frame and not for the file."""
    plan = plan_of(etth1, features)
    assert (plan.num_rows, plan.train_rows, plan.windows_per_channel) == (17_420, 8_640, 8_289)
    assert (plan.train_windows, plan.steps_per_epoch) == (windows, steps)
    assert (plan.patches_per_window, plan.patches_per_step) == (32, 64)


def test_real_etth1_has_the_19495_test_windows_of_every_table(etth1: pd.DataFrame) -> None:
    """Without it our errors would be means over other windows than the published ones."""
    plan = plan_of(etth1, "M", seq_len=512)
    assert (plan.windows_per_channel, plan.validation_windows, plan.test_windows) == (8_033, 19_495, 19_495)


def test_real_etth1_scaler_is_that_of_the_first_twelve_months(etth1: pd.DataFrame) -> None:
    """Without it scaled errors on ETTh1 would be in other units than the published ones."""
    window = WindowParams(seq_len=512, pred_len=96)
    scaler = fit_scaler(etth1, ["OT"], split_borders(len(etth1), SPLIT, window), "id")
    first_year = etth1["OT"].iloc[:8_640].to_numpy()
    np.testing.assert_allclose([scaler.mean[0], scaler.std[0]], [first_year.mean(), first_year.std()], rtol=1e-12)
