"""Errors are summed over every window and divided once, whatever the batches were."""

import numpy as np
import pytest

from timellm_pipeline.evaluation.errors import ErrorSums

NAMES = ("A", "B", "OT")
STD = np.array([2.0, 0.5, 30.0])
NUM_WINDOWS, PRED_LEN = 23, 4


def make_errors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecasts and truths whose last windows are far worse than the first, and each window's channel."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((NUM_WINDOWS, PRED_LEN)).astype(np.float32)
    grows = np.linspace(0.1, 5, NUM_WINDOWS)[:, None] * np.arange(1, PRED_LEN + 1)
    forecast = (truth + grows * rng.standard_normal(truth.shape)).astype(np.float32)
    return forecast, truth, rng.integers(0, len(NAMES), NUM_WINDOWS)


def summed(batch_size: int) -> ErrorSums:
    """All of them, counted in batches of this size; the last is shorter where they do not divide."""
    forecast, truth, channel = make_errors()
    sums = ErrorSums(len(NAMES), PRED_LEN)
    for first in range(0, NUM_WINDOWS, batch_size):
        which = slice(first, first + batch_size)
        sums.add(forecast[which], truth[which], channel[which])
    return sums


@pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 100])
def test_sum_divided_once_is_the_mean_whatever_the_batch_size(batch_size: int) -> None:
    """Without it the last, shorter batch weighs too much (defect D2) or is dropped (defect D1)."""
    forecast, truth, _ = make_errors()
    error = forecast.astype(np.float64) - truth
    sums = summed(batch_size)
    scaled = sums.report(NAMES, STD)["scaled"]
    assert sums.windows.sum() == NUM_WINDOWS
    assert sums.mse == pytest.approx((error**2).mean(), rel=1e-12)
    assert scaled["mse"] == pytest.approx((error**2).mean(), rel=1e-12)
    assert scaled["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-12)
    assert scaled["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)


def test_the_mean_of_batch_means_would_differ() -> None:
    """Without it the test above could use errors for which the published mean of means is right too."""
    forecast, truth, _ = make_errors()
    squared = (forecast.astype(np.float64) - truth) ** 2
    of_batches = [squared[first : first + 5].mean() for first in range(0, NUM_WINDOWS, 5)]
    assert abs(np.mean(of_batches) / summed(5).mse - 1) > 0.05


def test_errors_are_reported_per_horizon_step() -> None:
    """Without it a forecast that is good for an hour and useless for a day would show one number."""
    forecast, truth, _ = make_errors()
    error = forecast.astype(np.float64) - truth
    per_horizon = summed(5).report(NAMES, STD)["scaled"]["per_horizon"]
    np.testing.assert_allclose(per_horizon["mse"], (error**2).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(per_horizon["mae"], np.abs(error).mean(axis=0), rtol=1e-12)


def test_errors_are_reported_per_channel() -> None:
    """Without it one bad channel would hide in the mean, or carry another channel's name."""
    forecast, truth, channel = make_errors()
    error = forecast.astype(np.float64) - truth
    per_channel = summed(5).report(NAMES, STD)["scaled"]["per_channel"]
    assert list(per_channel) == list(NAMES)
    for number, name in enumerate(NAMES):
        own = error[channel == number]
        expected = {"mse": (own**2).mean(), "mae": np.abs(own).mean(), "rmse": np.sqrt((own**2).mean())}
        assert per_channel[name] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pred_len", [1, 7, 12, 96, 129, 720])
def test_the_errors_of_a_channel_do_not_depend_on_the_other_channels(pred_len: int) -> None:
    """All channels are averaged at once. If this changed the last bits, a gate could decide otherwise."""
    rng = np.random.default_rng(0)
    sums = ErrorSums(50, pred_len)
    channel = rng.integers(0, 50, 200)
    sums.add(rng.normal(size=(200, pred_len)), rng.normal(size=(200, pred_len)), channel)
    names, std = tuple(f"s{number}" for number in range(50)), rng.uniform(0.1, 9, 50)
    per_channel = sums.report(names, std)["original"]["per_channel"]
    for number in np.unique(channel):
        mse = (sums.squared[number] * std[number] ** 2).mean() / sums.windows[number]
        mae = (sums.absolute[number] * std[number]).mean() / sums.windows[number]
        assert per_channel[names[number]] == {"mse": mse, "mae": mae, "rmse": np.sqrt(mse)}


def test_original_units_are_the_errors_of_unscaled_forecasts() -> None:
    """Without it errors in degrees or megawatts would be scaled ones under another name."""
    forecast, truth, channel = make_errors()
    error = (forecast.astype(np.float64) - truth) * STD[channel][:, None]  # the mean cancels out
    original = summed(5).report(NAMES, STD)["original"]
    assert original["mse"] == pytest.approx((error**2).mean(), rel=1e-12)
    assert original["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-12)
    np.testing.assert_allclose(original["per_horizon"]["mse"], (error**2).mean(axis=0), rtol=1e-12)
    for number, name in enumerate(NAMES):
        assert original["per_channel"][name]["mae"] == pytest.approx(np.abs(error[channel == number]).mean(), rel=1e-12)


def test_channels_of_unequal_number_weigh_by_their_windows() -> None:
    """Without it a channel with one window would weigh as much as one with a thousand."""
    sums = ErrorSums(2, 1)
    sums.add(np.array([[3.0], [1.0], [1.0]]), np.zeros((3, 1)), np.array([0, 1, 1]))
    assert sums.mse == pytest.approx((9 + 1 + 1) / 3)
    assert sums.report(("A", "B"), np.ones(2))["scaled"]["mse"] == pytest.approx(11 / 3)
    assert sums.windows.tolist() == [1, 2]


def test_channel_that_is_not_tested_is_not_reported() -> None:
    """Without it `features: MS` would report 0/0 for the channels that are only trained on."""
    sums = ErrorSums(3, 2)
    sums.add(np.ones((2, 2)), np.zeros((2, 2)), np.array([2, 2]))
    report = sums.report(NAMES, STD)
    assert report["scaled"]["mse"] == 1.0
    assert list(report["scaled"]["per_channel"]) == ["OT"]
    assert report["original"]["per_channel"]["OT"] == {"mse": 900.0, "mae": 30.0, "rmse": 30.0}


def test_sums_are_float64_for_float32_forecasts() -> None:
    """Without it a million small errors behind one large one would be rounded away."""
    sums = ErrorSums(1, 1)
    for value, times in ((1e4, 1), (1.0, 1000)):
        forecast = np.full((times, 1), value, dtype=np.float32)
        sums.add(forecast, np.zeros((times, 1), dtype=np.float32), np.zeros(times, dtype=np.int16))
    assert sums.squared[0, 0] == 1e8 + 1000  # float32 would stay at 1e8
