"""Maps solve the normal equations that the documentation states, and rules are maps too."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from small_tasks import forecast_by, task_of, training_windows, values_of, window_of

from timellm_pipeline.evaluation.baselines import naive, seasonal_naive
from timellm_pipeline.linear.candidates import Candidate
from timellm_pipeline.linear.fitter import Fitter, Task
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.linear.maps import Center, center_map, fit_maps
from timellm_pipeline.linear.moments import Moments

WINDOW = window_of(9, 7)
CENTERS: tuple[Center, ...] = ("mean", "naive", "seasonal_naive")
SEASON = 4  # of seasonal naive


def penalty_of(lag: int, step: int, seasons: Sequence[int]) -> float:
    """Penalty of the input `lag` rows before the first target, for one horizon step: the formula, word for word."""
    away = 0.0
    for season in seasons:
        distance = min(abs(lag + step - multiple * season) for multiple in range(100))
        away += (1 - np.exp(-(distance**2) / 8)) / len(seasons)
    return lag / 64 * (1 + 30 * away)


def penalties(seasons: Sequence[int]) -> np.ndarray:
    """Penalties [seq_len, pred_len]; the first row is the oldest input."""
    return np.array([[penalty_of(9 - row, step, seasons) for step in range(7)] for row in range(9)])


def centre_of(center: Center, x: np.ndarray) -> np.ndarray:
    """Forecasts that the penalty shrinks to."""
    mean = np.repeat(x.mean(axis=1, keepdims=True), 7, axis=1)
    return {"mean": mean, "naive": naive(x, 7), "seasonal_naive": seasonal_naive(x, 7, SEASON)}[center]


def regression(task: Task, center: Center, weighted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centred inputs, targets less the center's forecasts, weights and series of all training windows."""
    x, y, series = training_windows(task)
    centred = x - x.mean(axis=1, keepdims=True)
    weights = 1 / np.sqrt(np.mean(centred**2, axis=1) + 0.1) if weighted else np.ones(len(x))
    return centred, y - centre_of(center, x), weights, series


def rule(center: Center) -> np.ndarray:
    return center_map(center, 9, 7, SEASON)[0].numpy()


@pytest.fixture
def task() -> Task:
    values = values_of("mixed", 2, 100, np.random.default_rng(1))
    values[1, 30:50] *= 8  # windows of other variances
    return task_of(values, WINDOW, train=80, season=SEASON)


def fitter_of(task: Task, per_series: bool = False) -> Fitter:
    return Fitter(task, Folds.of(task.rows, WINDOW, most=1), per_series)


@pytest.mark.parametrize(("seq_len", "pred_len", "season"), [(9, 7, 4), (9, 7, 9), (9, 7, 10), (5, 12, 1), (2, 3, 2)])
def test_rules_are_naive_and_seasonal_naive(seq_len: int, pred_len: int, season: int) -> None:
    """Without it the candidate called naive would be another forecast than the baseline that the report shows."""
    x = np.random.default_rng(0).standard_normal((4, seq_len)) + 3
    expected = {
        "mean": np.repeat(x.mean(axis=1, keepdims=True), pred_len, axis=1),
        "naive": naive(x, pred_len),
        "seasonal_naive": seasonal_naive(x, pred_len, season),
    }
    for center in CENTERS:
        matrix = center_map(center, seq_len, pred_len, season)[0].numpy()
        np.testing.assert_allclose(forecast_by(matrix, x), expected[center], atol=1e-12)


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("seasons", [(), (3,), (4, 6)])
def test_the_structured_map_solves_its_normal_equations(task: Task, seasons: tuple[int, ...], center: Center) -> None:
    """Without it a penalty on the wrong lag, step or season would still give a forecast that looks good."""
    x, y, weights, _ = regression(task, center, weighted=True)
    gram, product = (x.T * weights) @ x, (x.T * weights) @ y
    scale = 0.3 * np.trace(gram) / 9
    each = penalties(seasons).T
    solved = [np.linalg.solve(gram + scale * np.diag(each[step]), product[:, step]) for step in range(7)]
    expected = rule(center) + np.stack(solved, axis=1)
    found = fitter_of(task).maps(Candidate(kind="structured", center=center, seasons=seasons, penalty=0.3))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found[0].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("center", CENTERS)
def test_the_plain_map_solves_its_normal_equations(task: Task, center: Center) -> None:
    """Without it the baseline could be weighted or penalised like the structured ridge."""
    x, y, _, _ = regression(task, center, weighted=False)
    gram = x.T @ x
    solved = np.linalg.solve(gram + 0.1 * np.trace(gram) / 9 * np.eye(9), x.T @ y)
    found = fitter_of(task).maps(Candidate(kind="plain", center=center, penalty=0.1))
    np.testing.assert_allclose(found[0].numpy(), rule(center) + solved, atol=2e-5)


@pytest.mark.parametrize("center", ["mean", "naive"])
def test_maps_of_series_minimise_the_stated_sum(task: Task, center: Center) -> None:
    """Without it series could get the map of another, or deviations that nothing restrains."""
    x, y, weights, series = regression(task, center, weighted=True)
    mean_square = np.trace((x.T * weights) @ x) / 9
    each = penalties((4,)).T
    for deviation_penalty in (30.0, 1e9):
        candidate = Candidate(
            kind="per_series", center=center, seasons=(4,), penalty=0.3, deviation_penalty=deviation_penalty
        )
        found = fitter_of(task, per_series=True).maps(candidate).numpy()
        for step in (0, 5):
            # One least-squares problem of all unknowns: the shared map, then the deviation of each series.
            rows = np.concatenate([x, *(np.where(series[:, None] == number, x, 0) for number in range(2))], axis=1)
            shrink = [0.3 * mean_square * each[step]] + 2 * [deviation_penalty / 2 * mean_square * each[step]]
            gram = (rows.T * weights) @ rows + np.diag(np.concatenate(shrink))
            shared, *deviations = np.linalg.solve(gram, (rows.T * weights) @ y[:, step]).reshape(3, 9)
            for number in range(2):
                expected = rule(center)[:, step] + shared + deviations[number]
                np.testing.assert_allclose(found[number, :, step], expected, atol=0.001)
        assert (np.abs(found[0] - found[1]).max() < 1e-5) == (deviation_penalty > 1e6)


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("kind", ["plain", "structured", "per_series"])
def test_an_endless_penalty_gives_the_center(task: Task, kind: str, center: Center) -> None:
    """Without it a heavily penalised map would not be close to a forecast that is known to be sensible."""
    candidate = Candidate(kind=kind, center=center, seasons=(4,), penalty=1e9, deviation_penalty=1e9)
    found = fitter_of(task, per_series=True).maps(candidate).numpy()
    np.testing.assert_allclose(found, np.broadcast_to(rule(center), found.shape), atol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "structured", "per_series"])
def test_windows_without_variance_leave_the_center(kind: str) -> None:
    """Without it a series that is constant in training would have a singular matrix."""
    candidate = Candidate(kind=kind, penalty=1e-5, seasons=(4,), deviation_penalty=30)
    maps = fit_maps(Moments.zeros(2, 9, 7), candidate, [center_map(center, 9, 7, SEASON) for center in CENTERS])
    for center, found in zip(CENTERS, maps):
        np.testing.assert_array_equal(found.numpy(), np.broadcast_to(rule(center), found.shape))
