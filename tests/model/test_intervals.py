"""Prediction intervals hold the share of truths that they promise."""

import numpy as np
import pytest

from timellm_pipeline.evaluation.coverage import Coverage
from timellm_pipeline.model.intervals import Intervals, half_widths, too_few


def test_half_widths_hold_the_share_they_promise_on_windows_like_those_they_were_made_from() -> None:
    """A quantile off by one rank is too narrow, always."""
    rng = np.random.default_rng(0)
    channel = np.repeat([0, 2], 4000)
    errors = rng.normal(size=(8000, 6)) * np.where(channel == 0, 1, 3)[:, None]
    intervals = Intervals(half_widths(errors.astype(np.float32), channel, 3))
    assert np.isnan(intervals.widths[:, 1]).all()
    assert intervals.at(80)[0] == pytest.approx(1.2816, abs=0.06)
    assert intervals.at(95)[2] == pytest.approx(3 * 1.96, abs=0.3)
    fresh = rng.normal(size=(8000, 6)) * np.where(channel == 0, 1, 3)[:, None]
    coverage = Coverage(intervals)
    for first in range(0, 8000, 1000):
        coverage.add(fresh[first : first + 1000], channel[first : first + 1000])
    report = coverage.report()
    assert report["80"]["inside"] == pytest.approx(0.8, abs=0.01)
    assert report["95"]["inside"] == pytest.approx(0.95, abs=0.01)
    assert report["80"]["width"] == pytest.approx(2 * 1.2816 * 2, abs=0.2)


def test_channels_with_other_numbers_of_windows_are_sorted_apart() -> None:
    """Channels with as many windows are sorted together; the result is that of each channel alone."""
    rng = np.random.default_rng(0)
    channel = rng.permutation(np.repeat([0, 1, 3, 4], [30, 7, 30, 1]))
    errors = rng.normal(size=(len(channel), 5)).astype(np.float32)
    together = half_widths(errors, channel, 5)
    for number in (0, 1, 3, 4):
        alone = half_widths(errors[channel == number], np.zeros((channel == number).sum(), dtype=int), 1)
        np.testing.assert_array_equal(together[:, number], alone[:, 0])


def test_the_rank_is_that_of_a_finite_sample() -> None:
    """ceil((n + 1) * level): with 9 windows the 80 % width is the 8th of the ordered errors."""
    errors = np.arange(1, 10, dtype=np.float32)[:, None]
    intervals = Intervals(half_widths(errors, np.zeros(9, dtype=int), 1))
    assert (intervals.at(80)[0, 0], intervals.at(95)[0, 0]) == (8, 9)
    assert too_few(9, 95) and not too_few(9, 90) and not too_few(19, 95)
    assert Coverage(None).report() == {}
