"""The plan of the real ETTh1: what the design promises, on the file it speaks of."""

import os
from pathlib import Path

import numpy as np
import pytest

from timellm_pipeline.parameters import DataParams, EvaluationParams, SplitParams, WindowParams, parse_parameters
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.plan import RunPlan
from timellm_pipeline.series.prepare import fit, index, plan, split, validate
from timellm_pipeline.series.reading import RawFile

pytestmark = pytest.mark.real_data
SPLIT, EVALUATION = SplitParams(method="ett_hour"), EvaluationParams()


@pytest.fixture(scope="module")
def etth1() -> Panel:
    """The checked series of a real ETTh1.csv."""
    path = os.environ.get("TIMELLM_ETTH1")
    if not path:  # the file may not be redistributed, so no clone has it; CI sets the variable
        pytest.skip("TIMELLM_ETTH1 is not set: give the path of a real ETTh1.csv")
    return validate(RawFile(path, Path(path).read_bytes()), DataParams(), WindowParams())


def plan_of(series: Panel, features: str, seq_len: int = 256) -> RunPlan:
    """The plan of the series with batches of 2."""
    groups = {"window": {"seq_len": seq_len, "pred_len": 96, "features": features}, "training": {"batch_size": 2}}
    parameters = parse_parameters({**groups, "split": SPLIT.model_dump()})
    borders = split(series, SPLIT, parameters.window, EVALUATION)
    windows = index(series.select(borders.channels), borders, parameters.window, EVALUATION)
    return plan(windows, borders, parameters.window, parameters.training, EVALUATION)


def test_real_etth1_is_hourly_with_seven_channels(etth1: Panel) -> None:
    """Without it validation could refuse the very file of every published table, or misread its frequency."""
    assert list(etth1.ids) == ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert (etth1.num_rows, etth1.frequency, etth1.zone) == (17_420, "h", None)
    assert (str(etth1.stamps[0]), str(etth1.stamps[-1])) == ("2016-07-01 00:00:00", "2018-06-26 19:00:00")


@pytest.mark.parametrize(("features", "windows", "steps"), [("M", 58_023, 29_011), ("S", 8_289, 4_144)])
def test_real_etth1_has_the_numbers_of_the_design(etth1: Panel, features: str, windows: int, steps: int) -> None:
    """Without it the numbers could hold for a made-up frame and not for the file."""
    plan = plan_of(etth1, features)
    assert (plan.num_rows, plan.train_rows, plan.windows_per_channel) == (17_420, 8_640, 8_289)
    assert (plan.train_windows, plan.steps_per_epoch) == (windows, steps)
    assert (plan.patches_per_window, plan.patches_per_step) == (32, 64)


def test_real_etth1_has_the_19495_test_windows_of_every_table(etth1: Panel) -> None:
    """Without it our errors would be means over other windows than the published ones."""
    plan = plan_of(etth1, "M", seq_len=512)
    assert (plan.windows_per_channel, plan.validation_windows, plan.test_windows) == (8_033, 19_495, 19_495)


def test_real_etth1_scaler_is_that_of_the_first_twelve_months(etth1: Panel) -> None:
    """Without it scaled errors on ETTh1 would be in other units than the published ones."""
    borders = split(etth1, SPLIT, WindowParams(seq_len=512, pred_len=96, features="S"), EVALUATION)
    scaler = fit(etth1, borders)
    first_year = etth1.series(etth1.number_of["OT"])[:8_640]
    np.testing.assert_allclose([scaler.mean[0], scaler.std[0]], [first_year.mean(), first_year.std()], rtol=1e-12)
