"""The baselines on the real ETTh1 give the numbers that everybody else gets."""

import os
from pathlib import Path

import numpy as np
import pytest

from timellm_pipeline.evaluation.baselines import fit_linear, naive, score, seasonal_naive
from timellm_pipeline.evaluation.errors import ErrorSums
from timellm_pipeline.parameters import BackboneParams, Parameters, SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES
from timellm_pipeline.series.frequency import season_length
from timellm_pipeline.series.prepare import prepare
from timellm_pipeline.series.reading import RawFile
from timellm_pipeline.series.windows import Windows

pytestmark = pytest.mark.real_data
WINDOW = WindowParams(seq_len=512, pred_len=96)


@pytest.fixture(scope="module")
def etth1() -> dict[str, Windows]:
    """Windows of 512 -> 96 over a real ETTh1.csv, by split."""
    path = os.environ.get("TIMELLM_ETTH1")
    if not path:  # the file may not be redistributed, so no clone has it; CI sets the variable
        pytest.skip("TIMELLM_ETTH1 is not set: give the path of a real ETTh1.csv")
    parameters = Parameters(window=WINDOW, split=SplitParams(method="ett_hour"), backbone=BackboneParams(name="none"))
    prepared = prepare(RawFile(path, Path(path).read_bytes()), parameters)
    assert season_length(prepared.series.frequency) == 24
    return {split: prepared.training.windows(split) for split in RANGES}


def rounded(sums: ErrorSums) -> tuple[float, float]:
    """MSE and MAE in scaled units over all 19,495 test windows, to three digits."""
    assert sums.windows.tolist() == [2_785] * 7
    scaled = sums.report(("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"), np.ones(7))["scaled"]
    return round(scaled["mse"], 3), round(scaled["mae"], 3)


def test_naive_on_real_etth1(etth1: dict[str, Windows]) -> None:
    """Without it scaling, borders or windows could be off by a little, and every comparison with them."""
    assert rounded(score(lambda x: naive(x, 96), etth1["test"])) == (1.294, 0.713)


def test_seasonal_naive_on_real_etth1(etth1: dict[str, Windows]) -> None:
    """Without it the baseline of the report could be out of season and too easy to beat."""
    assert rounded(score(lambda x: seasonal_naive(x, 96, 24), etth1["test"])) == (0.512, 0.433)


def test_ridge_on_real_etth1_is_a_strong_baseline(etth1: dict[str, Windows]) -> None:
    """Without it the linear baseline could be fitted badly, and any model would seem better than the baselines."""
    mse, _ = rounded(score(fit_linear(etth1["train"], etth1["validation"]), etth1["test"]))
    assert 0.3 < mse <= 0.370
