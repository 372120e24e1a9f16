"""The baselines on the real ETTh1 come to the numbers that anybody else gets."""

import os

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.evaluation.baselines import fit_linear, naive, score, seasonal_naive
from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.parameters import DataParams, EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES, split_borders
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.scaling import fit_scaler, scale_series
from timellm_pipeline.series.validation import validate_series
from timellm_pipeline.series.windows import Windows, build_window_index, windows_of

pytestmark = pytest.mark.real_data
WINDOW = WindowParams(seq_len=512, pred_len=96)


@pytest.fixture(scope="module")
def etth1() -> dict[str, Windows]:
    """Windows of 512 -> 96 over a real ETTh1.csv, by split."""
    path = os.environ.get("TIMELLM_ETTH1")
    if not path:  # the file may not be redistributed, so no clone has it; CI sets the variable
        pytest.skip("TIMELLM_ETTH1 is not set: give the path of a real ETTh1.csv")
    series = validate_series(pd.read_csv(path), DataParams(), WINDOW)
    assert season_length(series.attrs["frequency"]) == 24
    borders = split_borders(len(series), SplitParams(method="ett_hour"), WINDOW)
    channels = list(series.columns[1:])
    scaled = scale_series(series, fit_scaler(series, channels, borders, "id"))
    index = build_window_index(channels, borders, WINDOW, EvaluationParams(), "id")
    return {split: windows_of(scaled, index, split, WINDOW) for split in RANGES}


def rounded(sums: ErrorSums) -> tuple[float, float]:
    """MSE and MAE in scaled units over all 19,495 test windows, to three digits."""
    assert sums.windows.tolist() == [2_785] * 7
    scaled = sums.report(("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"), np.ones(7))["scaled"]
    return round(scaled["mse"], 3), round(scaled["mae"], 3)


def test_naive_on_real_etth1(etth1: dict[str, Windows]) -> None:
    """Without it scaling, borders or windows could be off by a little, and every comparison with them."""
    assert rounded(score(lambda x: naive(x, 96), etth1["test"])) == (1.294, 0.713)


def test_seasonal_naive_on_real_etth1(etth1: dict[str, Windows]) -> None:
    """Without it the rival that the report measures against could be out of season and too easy to beat."""
    assert rounded(score(lambda x: seasonal_naive(x, 96, 24), etth1["test"])) == (0.512, 0.433)


def test_ridge_on_real_etth1_is_a_strong_rival(etth1: dict[str, Windows]) -> None:
    """Without it the linear baseline could be fitted badly, and a language model would seem worth its electricity."""
    mse, _ = rounded(score(fit_linear(etth1["train"], etth1["validation"]), etth1["test"]))
    assert 0.3 < mse <= 0.370
