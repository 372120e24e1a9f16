"""MASE, sMAPE and WAPE are what their names say, and a difference is called noise when it is."""

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.evaluation.coverage import Coverage
from timellm_pipeline.evaluation.noise import compare_origins
from timellm_pipeline.evaluation.scores import TestScores, season_errors
from timellm_pipeline.model.intervals import half_widths, too_few, widths_at
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.windows import Windows


@pytest.fixture
def test_windows() -> Windows:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 40)).astype(np.float32)
    start = np.array([0, 3, 6, 0, 3], dtype=np.int32)
    return Windows(values, np.array([0, 0, 0, 1, 1], dtype=np.int16), start, ("a", "b"), seq_len=8, pred_len=4)


def test_scores_are_those_of_the_textbook(test_windows: Windows) -> None:
    """A percentage of scaled values would be meaningless, and MASE by the wrong scale would pass every gate."""
    scaler = Scaler(data_id="x", channels=["a", "b"], mean=[10.0, -2.0], std=[2.0, 5.0], rows=(0, 20))
    scores = TestScores(test_windows, scaler)
    rng = np.random.default_rng(1)
    forecast = rng.normal(size=(5, 4)).astype(np.float32)
    _, truth = test_windows.gather(np.arange(5))
    for which in (np.array([4, 0]), np.array([1, 2, 3])):
        scores.add(which, forecast[which], truth[which])
    channel = test_windows.channel
    f, y = (
        np.array(scaler.std)[channel, None] * part + np.array(scaler.mean)[channel, None] for part in (forecast, truth)
    )
    season = np.array([0.5, 0.25])
    report = scores.report(season)["original"]
    off = np.abs(f - y)
    assert report["mae"] == pytest.approx(off.mean(), rel=1e-5)
    assert report["smape"] == pytest.approx((200 * off / (np.abs(f) + np.abs(y))).mean(), rel=1e-5)
    assert report["wape"] == pytest.approx(100 * off.sum() / np.abs(y).sum(), rel=1e-5)
    by_channel = [off[channel == number].mean() / (season * scaler.std)[number] for number in (0, 1)]
    assert report["mase"] == pytest.approx((3 * by_channel[0] + 2 * by_channel[1]) / 5, rel=1e-5)
    assert report["per_channel"]["b"]["mase"] == pytest.approx(by_channel[1], rel=1e-5)
    mse, mae = scores.origin_errors()
    error = forecast.astype(np.float64) - truth
    assert mse == pytest.approx([(error[[0, 3]] ** 2).mean(), (error[[1, 4]] ** 2).mean(), (error[2] ** 2).mean()])
    assert mae[2] == pytest.approx(np.abs(error[2]).mean())


def test_the_scale_of_mase_is_seasonal_naive_in_training_rows() -> None:
    """Taken over test rows it would move with what is tested."""
    values = np.tile([0.0, 1.0, 5.0], 8) + np.repeat(np.arange(8), 3)
    frame = pd.DataFrame({"date": pd.date_range("2020", periods=24), "a": values})
    assert season_errors(frame, (0, 12), 3) == pytest.approx([1.0])
    assert season_errors(frame, (0, 12), 1) == pytest.approx([np.abs(np.diff(values[:12])).mean()])


def test_a_real_difference_is_beyond_noise_and_chance_is_not() -> None:
    """Overlapping windows are alike: drawn one by one they would make chance look sure."""
    rng = np.random.default_rng(0)
    slow = np.convolve(rng.normal(size=2100), np.ones(100) / 10, mode="valid")  # a hundred neighbours alike
    by_block = [compare_origins(slow[n : n + 500] - slow[n : n + 500].mean(), np.zeros(500), 1) for n in (0, 700, 1400)]
    assert all(found["low"] <= 0 <= found["high"] for found in by_block)
    sure = {block: compare_origins(slow[:2000], np.zeros(2000), block) for block in (1, 100)}
    widths = {block: found["high"] - found["low"] for block, found in sure.items()}
    assert widths[100] > 4 * widths[1]
    assert compare_origins(1 + 0.1 * slow[:2000], np.zeros(2000), 100)["beyond_noise"] is True
    assert compare_origins(slow[:2000] - slow[:2000].mean(), np.zeros(2000), 100)["beyond_noise"] is False
    assert compare_origins(np.ones(20), np.zeros(20), 10)["beyond_noise"] is None


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says() -> None:
    """An interval that is too narrow calls noise a difference."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(100):
        noise = np.convolve(rng.normal(size=619), np.ones(20) / 20, mode="valid")
        found = compare_origins(noise, np.zeros(600), 40)
        inside += found["low"] <= 0 <= found["high"]
    assert 85 <= inside <= 100


def test_half_widths_hold_the_share_they_promise_on_windows_like_those_they_came_from() -> None:
    """A quantile off by one rank is too narrow, always."""
    rng = np.random.default_rng(0)
    channel = np.repeat([0, 2], 4000)
    errors = rng.normal(size=(8000, 6)) * np.where(channel == 0, 1, 3)[:, None]
    widths = half_widths(errors.astype(np.float32), channel, 3)
    assert np.isnan(widths[:, 1]).all()
    assert widths_at(widths, 80)[0] == pytest.approx(1.2816, abs=0.06)
    assert widths_at(widths, 95)[2] == pytest.approx(3 * 1.96, abs=0.3)
    fresh = rng.normal(size=(8000, 6)) * np.where(channel == 0, 1, 3)[:, None]
    coverage = Coverage(widths)
    for first in range(0, 8000, 1000):
        coverage.add(fresh[first : first + 1000], channel[first : first + 1000])
    report = coverage.report()
    assert report["80"]["inside"] == pytest.approx(0.8, abs=0.01)
    assert report["95"]["inside"] == pytest.approx(0.95, abs=0.01)
    assert report["80"]["width"] == pytest.approx(2 * 1.2816 * 2, abs=0.2)


def test_the_rank_is_that_of_a_finite_sample() -> None:
    """ceil((n + 1) * level): with 9 windows the 80 % width is the 8th of the ordered errors."""
    errors = np.arange(1, 10, dtype=np.float32)[:, None]
    assert widths_at(half_widths(errors, np.zeros(9, dtype=int), 1), 80)[0, 0] == 8
    assert widths_at(half_widths(errors, np.zeros(9, dtype=int), 1), 95)[0, 0] == 9
    assert too_few(9, 95) and not too_few(9, 90) and not too_few(19, 95)
    assert Coverage(None).report() == {}
