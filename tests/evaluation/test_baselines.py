"""The baselines do what their names promise: a weak baseline would make any model seem strong."""

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.evaluation import baselines
from timellm_pipeline.evaluation.baselines import PENALTIES, LinearForecast, fit_linear, naive, score, seasonal_naive
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.windows import Segments, Windows

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


def test_ridge_recovers_a_known_linear_process() -> None:
    """Without it the closed form could solve another problem and still look like a forecast."""
    rng = np.random.default_rng(0)
    rows = 6_000
    steps = np.zeros(rows)
    for row in range(1, rows):  # the next step is half of the last one: y = x[-1] + 0.5 (x[-1] - x[-2])
        steps[row] = 0.5 * steps[row - 1] + rng.standard_normal()
    values = steps.cumsum()[None]
    train, validation = make_windows(values, 4, 1, last=4_000), make_windows(values, 4, 1, first=4_000)
    forecast = fit_linear(train, validation)
    weights = forecast(np.eye(4)) - forecast(np.zeros((1, 4)))
    np.testing.assert_allclose(weights[:, 0], [0, 0, -0.5, 1.5], atol=0.06)
    assert score(forecast, validation).mse == pytest.approx(1, rel=0.08)  # the noise, which no model can forecast
    assert score(lambda x: naive(x, 1), validation).mse > 1.2


def test_ridge_is_near_exact_where_the_future_is_linear_in_the_past() -> None:
    """Without it several channels, horizon steps or chunks of windows could be mixed up in the sums."""
    hour = np.arange(800)
    values = np.stack([3 * np.sin(hour / 5) + np.cos(hour / 3), 2 * np.cos(hour / 5) - np.sin(hour / 3)])
    train, validation = make_windows(values, 24, 12, last=600), make_windows(values, 24, 12, first=600)
    error = score(fit_linear(train, validation), validation).mse
    assert error < 1e-4 < score(lambda x: naive(x, 12), validation).mse


def test_ridge_moves_with_the_level_of_its_window() -> None:
    """Without it a series that drifts above its training level would be forecast back down to it."""
    values = np.random.default_rng(1).standard_normal((1, 300)).cumsum(axis=1)
    forecast = fit_linear(make_windows(values, 8, 3, last=200), make_windows(values, 8, 3, first=200))
    x = np.random.default_rng(2).standard_normal((5, 8))
    np.testing.assert_allclose(forecast(x + 100), forecast(x) + 100, rtol=1e-9)


@pytest.mark.parametrize(("num_rows", "noise"), [(60, 1.0), (2_000, 0.1)])
def test_penalty_is_the_best_on_validation(num_rows: int, noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the baseline would be tuned by its training windows, and be weaker than it could be."""
    rng = np.random.default_rng(3)
    values = (np.sin(np.arange(num_rows + 400) / 4) + noise * rng.standard_normal(num_rows + 400))[None]
    train, validation = make_windows(values, 24, 6, last=num_rows), make_windows(values, 24, 6, first=num_rows)
    chosen = fit_linear(train, validation)
    alone: dict[float, LinearForecast] = {}
    for penalty in PENALTIES:
        monkeypatch.setattr(baselines, "PENALTIES", (penalty,))
        alone[penalty] = fit_linear(train, validation)
    errors = {penalty: score(forecast, validation).mse for penalty, forecast in alone.items()}
    assert len(set(errors.values())) == len(PENALTIES)
    assert chosen.penalty == min(errors, key=lambda penalty: errors[penalty])
    np.testing.assert_array_equal(chosen.matrix, alone[chosen.penalty].matrix)


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


def test_ridge_learns_from_every_window_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it only the last 4,096 of ETTh1's 56,231 training windows might count."""
    values = np.random.default_rng(5).standard_normal((2, 300)).cumsum(axis=1)
    train, validation = make_windows(values, 8, 3, last=200), make_windows(values, 8, 3, first=200)
    complete = fit_linear(train, validation)
    monkeypatch.setattr(baselines, "CHUNK", 7)
    np.testing.assert_allclose(fit_linear(train, validation).matrix, complete.matrix, rtol=1e-8, atol=1e-10)
