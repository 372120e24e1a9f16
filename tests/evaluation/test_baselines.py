"""The baselines do what their names promise: a weak baseline would make any model seem strong."""

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.evaluation import baselines
from timellm_pipeline.evaluation.baselines import naive, score, seasonal_naive
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.segments import Segments
from timellm_pipeline.series.windows import Windows

X = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 9.0, 8.0, 7.0, 6.0]])


def make_windows(values: np.ndarray, seq_len: int, pred_len: int, first: int = 0, last: int | None = None) -> Windows:
    """Every window of these channels [channels, rows], between two rows."""
    end = values.shape[1] if last is None else last
    columns = {f"channel {number}": row.astype(np.float32) for number, row in enumerate(values)}
    panel = Panel.from_columns(columns, start=pd.Timestamp("2020-01-01"), frequency="h")
    ones = np.ones(len(values), dtype=np.int64)
    count = end - first - seq_len - pred_len + 1
    segments = Segments(np.arange(len(values)), first * ones, count * ones, ones)
    return Windows(panel, segments, seq_len, pred_len)


def test_naive_repeats_the_last_value() -> None:
    """Without it the simplest baseline could repeat the first value, or the mean."""
    assert naive(X, 3).tolist() == [[5, 5, 5], [6, 6, 6]]


@pytest.mark.parametrize(
    ("season", "pred_len", "expected"),
    [
        (2, 5, [[4, 5, 4, 5, 4], [7, 6, 7, 6, 7]]),  # a horizon longer than a season starts it again
        (3, 2, [[3, 4], [8, 7]]),  # a horizon shorter than a season: its first part
        (5, 6, [[1, 2, 3, 4, 5, 1], [0, 9, 8, 7, 6, 0]]),  # the complete window is one season
        (1, 2, [[5, 5], [6, 6]]),
    ],
)
def test_seasonal_naive_repeats_the_last_season(season: int, pred_len: int, expected: list[list[int]]) -> None:
    """Without it the baseline could be a step out of phase, which on a daily cycle is a bad forecast."""
    assert seasonal_naive(X, pred_len, season).tolist() == expected


@pytest.mark.parametrize("season", [6, 1000])
def test_seasonal_naive_of_a_window_shorter_than_a_season_is_naive(season: int) -> None:
    """Without it a short window would index before its start and take values from its end."""
    assert seasonal_naive(X, 3, season).tolist() == naive(X, 3).tolist()


def test_seasonal_naive_is_right_on_a_pure_cycle_and_naive_is_not() -> None:
    """Without it the two baselines could be swapped by name."""
    cycle = np.tile(np.arange(24.0), 20)[None]
    windows = make_windows(cycle, seq_len=48, pred_len=30)
    assert score(lambda x: seasonal_naive(x, 30, 24), windows).mse == 0
    assert score(lambda x: naive(x, 30), windows).mse > 1


def test_score_counts_every_window_once_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the last, shorter chunk of windows would be dropped or counted twice."""
    values = np.random.default_rng(4).standard_normal((3, 100))
    windows = make_windows(values, 10, 5)
    complete = score(lambda x: naive(x, 5), windows)
    x, y = windows.gather(np.arange(len(windows)))
    assert complete.windows.tolist() == [86, 86, 86]
    assert complete.mse == pytest.approx(((x[:, -1:].astype(np.float64) - y) ** 2).mean(), rel=1e-6)
    monkeypatch.setattr(baselines, "CHUNK", 7)
    chunked = score(lambda x: naive(x, 5), windows)
    np.testing.assert_allclose(chunked.squared, complete.squared, rtol=1e-12)
    assert chunked.windows.tolist() == complete.windows.tolist()
