"""A correction is trained on errors that the linear forecast makes on windows it was not fitted on."""

from dataclasses import replace

import numpy as np
import pytest
from small_tasks import forecast_by, read, task_of, values_of, window_of

from timellm_pipeline.linear.fit import choose_linear
from timellm_pipeline.linear.fitter import Fitter, Task
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.linear.residuals import Residuals
from timellm_pipeline.model.batches import BatchSource
from timellm_pipeline.series.segments import segments_of
from timellm_pipeline.series.windows import Windows

WINDOW = window_of(8, 2)
FIRST, TRAIN = 6, 6 + 90


@pytest.fixture(scope="module", params=[1, 2])
def task(request: pytest.FixtureRequest) -> Task:
    values = values_of("trend", request.param, 140, np.random.default_rng(0))
    return task_of(values, WINDOW, TRAIN, first=FIRST)


@pytest.fixture(scope="module")
def part(task: Task) -> LinearPart:
    return choose_linear(task, "structured", (4,))


def windows_of(task: Task, step: int = 1) -> Windows:
    """Training windows."""
    numbers = list(range(task.scaled.num_series))
    return Windows(task.scaled, segments_of(task.scaled, numbers, task.rows, step, WINDOW), 8, 2)


def test_targets_are_the_errors_of_the_maps_fitted_without_the_window(task: Task, part: LinearPart) -> None:
    """Without it residuals would be too small, and the correction would learn an error that no new window has."""
    windows = windows_of(task)
    residuals = Residuals(windows, part)
    x, y, series = read(windows)
    found_x, found_y = residuals.gather(np.arange(len(windows)))
    np.testing.assert_array_equal(found_x, x)
    assert found_x.dtype == found_y.dtype == np.float32
    folds = Folds.of(task.rows, WINDOW)
    fitter = Fitter(task, folds, per_series=task.scaled.num_series > 1)
    for fold in range(4):
        maps = sum(one.weight * fitter.maps(one.candidate, fold) for one in part.facts.chosen)
        maps = np.broadcast_to(maps.numpy(), (task.scaled.num_series, 8, 2))
        # In each series, windows are one row apart from row FIRST on.
        start = FIRST + np.arange(len(windows)) % (len(windows) // task.scaled.num_series)
        inside = np.flatnonzero((start >= folds.bounds[fold]) & (start < folds.bounds[fold + 1]))
        assert len(inside) > 10
        for number in inside:
            expected = y[number] - forecast_by(maps[series[number]], x[[number]])[0]
            np.testing.assert_allclose(found_y[number], expected, atol=1e-4)
    in_sample = y - part.forecast(x, part.numbers(windows.names)[series])
    assert np.abs(found_y - in_sample).max() > 1e-3


def test_a_window_has_one_residual_in_any_batch_order_and_step(task: Task, part: LinearPart) -> None:
    """Without it targets would depend on the batch, and a resumed run would train on others."""
    every, some = Residuals(windows_of(task), part), Residuals(windows_of(task, step=7), part)
    assert isinstance(every, BatchSource) and len(every) == len(every.windows)
    _, complete = every.gather(np.arange(len(every)))
    order = np.random.default_rng(1).permutation(len(every))
    np.testing.assert_array_equal(every.gather(order)[1], complete[order])
    start, steps = windows_of(task).origin(np.arange(len(every))), some.windows.origin(np.arange(len(some)))
    same = [
        np.flatnonzero((start == origin) & (every.windows.channel(np.arange(len(every))) == series))[0]
        for origin, series in zip(steps, some.windows.channel(np.arange(len(some))))
    ]
    np.testing.assert_array_equal(some.gather(np.arange(len(some)))[1], complete[same])


def test_a_series_that_starts_later_has_the_folds_of_its_time() -> None:
    """Without it the fold would be looked up by the row within the series, and be one that saw the window."""
    panel = task_of(values_of("mixed", 1, 140, np.random.default_rng(2)), WINDOW, TRAIN).scaled
    late = replace(panel, first=np.array([50]))
    segments = segments_of(late, [0], (0, 150), 1, WINDOW)
    windows = Windows(late, segments, 8, 2)
    rng = np.random.default_rng(3)
    task = task_of(panel, WINDOW, TRAIN)
    fitted = choose_linear(task, "plain", ())
    facts = fitted.facts.model_copy(update={"bounds": (0, 40, 80, 120, 141)})
    part = LinearPart(facts, fitted.shared, fitted.maps, rng.standard_normal((4, 1, 8, 2)).astype(np.float32))
    x, y, _ = read(windows)
    _, found = Residuals(windows, part).gather(np.array([0, 29, 30, 70]))  # grid rows 50, 79, 80 and 120
    for position, (number, fold) in enumerate([(0, 1), (29, 1), (30, 2), (70, 3)]):
        expected = y[number] - forecast_by(part.fold_maps[fold, 0].astype(np.float64), x[[number]])[0]
        np.testing.assert_allclose(found[position], expected, atol=1e-5)


def test_without_a_linear_part_the_targets_are_deviations_from_the_mean_of_the_window(task: Task) -> None:
    """Without it Time-LLM alone would be trained on something else than published."""
    windows = windows_of(task)
    x, y, _ = read(windows)
    _, found = Residuals(windows, LinearPart.mean_of_window(8, 2)).gather(np.arange(len(windows)))
    np.testing.assert_allclose(found, y - x.mean(axis=1, keepdims=True), atol=1e-5)
