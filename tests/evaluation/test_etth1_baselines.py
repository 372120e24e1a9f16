"""The baselines on the real ETTh1 give the numbers that everybody else gets, and the linear part better ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from timellm_pipeline.evaluation.baselines import naive, score, seasonal_naive
from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.linear.fit import fit_linear, fit_ridge
from timellm_pipeline.linear.fitter import Task
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.parameters import BackboneParams, Parameters, SplitParams, WindowParams
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.prepare import WindowData, prepare
from timellm_pipeline.series.reading import RawFile

pytestmark = pytest.mark.real_data
WINDOW = WindowParams(seq_len=512, pred_len=96)


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return Parameters(window=WINDOW, split=SplitParams(method="ett_hour"), backbone=BackboneParams(name="none"))


@pytest.fixture(scope="module")
def etth1(parameters: Parameters) -> WindowData:
    """Windows of 512 -> 96 over a real ETTh1.csv."""
    path = os.environ.get("TIMELLM_ETTH1")
    if not path:  # the file may not be redistributed, so no clone has it; CI sets the variable
        pytest.skip("TIMELLM_ETTH1 is not set: give the path of a real ETTh1.csv")
    prepared = prepare(RawFile(path, Path(path).read_bytes()), parameters)
    assert season_length(prepared.series.frequency) == 24
    return prepared.training


def forecast_test(part: LinearPart, data: WindowData) -> ErrorSums:
    """Error sums of a linear part over all test windows, each with the map of its series."""
    windows = data.windows("test")
    sums, numbers = ErrorSums(len(windows.names), windows.pred_len), part.numbers(windows.names)
    for which in np.array_split(np.arange(len(windows)), 10):
        x, y = windows.gather(which)
        channel = windows.channel(which)
        sums.add(part.forecast(x, numbers[channel]), y, channel)
    return sums


def rounded(sums: ErrorSums) -> tuple[float, float]:
    """MSE and MAE in scaled units over all 19,495 test windows, to three digits."""
    assert sums.windows.tolist() == [2_785] * 7
    scaled = sums.report(("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"), np.ones(7))["scaled"]
    return round(scaled["mse"], 3), round(scaled["mae"], 3)


def test_naive_on_real_etth1(etth1: WindowData) -> None:
    """Without it scaling, borders or windows could be off by a little, and every comparison with them."""
    assert rounded(score(lambda x: naive(x, 96), etth1.windows("test"))) == (1.294, 0.713)


def test_seasonal_naive_on_real_etth1(etth1: WindowData) -> None:
    """Without it the baseline of the report could be out of season and too easy to beat."""
    assert rounded(score(lambda x: seasonal_naive(x, 96, 24), etth1.windows("test"))) == (0.512, 0.433)


def test_ridge_on_real_etth1_is_a_strong_baseline(etth1: WindowData) -> None:
    """Without it the linear baseline could be fitted badly, and any model would seem better than the baselines."""
    mse, _ = rounded(score(fit_ridge(Task.of(etth1, WINDOW, season=None)).forecast, etth1.windows("test")))
    assert 0.3 < mse <= 0.370


@pytest.mark.long
def test_the_linear_part_on_real_etth1_is_better_than_every_baseline(etth1: WindowData, parameters: Parameters) -> None:
    """Without it a change of penalties or of the choice could make every model worse by a little."""
    part = fit_linear(etth1, WINDOW, parameters.model, parameters.evaluation)
    mse, mae = rounded(forecast_test(part, etth1))
    assert 0.3 < mse <= 0.358 and 0.3 < mae <= 0.387
    ridge = fit_ridge(Task.of(etth1, WINDOW, season=None))
    assert part.facts.validation_mse is not None and ridge.facts.validation_mse is not None
    assert part.facts.validation_mse <= ridge.facts.validation_mse
