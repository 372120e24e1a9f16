"""Prediction intervals come from errors of forecasts that did not see their windows, and say if these are too few."""

from dataclasses import replace

import numpy as np
import pytest

from conftest import make_panel
from timellm_pipeline.evaluation.calibration import calibrate
from timellm_pipeline.evaluation.significance import MIN_BLOCKS
from timellm_pipeline.linear.fit import choose_linear
from timellm_pipeline.linear.fitter import Task
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.intervals import Intervals
from timellm_pipeline.parameters import WindowParams
from timellm_pipeline.series.segments import segments_of
from timellm_pipeline.series.windows import Windows

WINDOW = WindowParams(seq_len=8, pred_len=4, patch_len=2, stride=1)


def task_of(train: int, validation: int, test: int = 0, seed: int = 0, num_series: int = 2) -> tuple[Task, Windows]:
    """Noise with a season, and its test windows."""
    rng, rows = np.random.default_rng(seed), train + validation + test
    season = np.sin(np.arange(rows) * np.pi / 3)
    panel = make_panel({f"{n}": (season + rng.standard_normal(rows)).astype(np.float32) for n in range(num_series)})
    made = []
    for first, last in ((train, train + validation), (train + validation, rows)):
        segments = segments_of(panel, list(range(num_series)), (first - WINDOW.seq_len, last), 1, WINDOW)
        made.append(Windows(panel, segments, WINDOW.seq_len, WINDOW.pred_len))
    return Task(panel, (0, train), WINDOW, made[0], 6), made[1]


def calibrated(task: Task, part: LinearPart) -> Intervals:
    """Intervals of a linear part that forecasts alone."""
    segments = segments_of(task.scaled, list(range(task.scaled.num_series)), task.rows, 1, WINDOW)
    train = Windows(task.scaled, segments, WINDOW.seq_len, WINDOW.pred_len)
    which = np.arange(len(task.validation))
    return calibrate(errors_of(part, task.validation), which, task.validation, train, part)


def errors_of(part: LinearPart, windows: Windows) -> np.ndarray:
    """Errors of every window."""
    which = np.arange(len(windows))
    x, y = windows.gather(which)
    return y - part.forecast(x, part.numbers(windows.names)[windows.channel(which)])


def test_intervals_of_a_short_series_hold_the_share_they_promise() -> None:
    """Validation alone, two horizons of it, gives intervals of 80 % that hold 70 % or 95 %, by chance."""
    inside: dict[str, list[float]] = {"both": [], "validation": []}
    for seed in range(40):
        task, test = task_of(train=150, validation=12, test=60, seed=seed)
        part = choose_linear(task, "structured", (6,))
        alone = replace(part, fold_maps=part.fold_maps[:0], facts=part.facts.model_copy(update={"bounds": (0, 1)}))
        for name, one in (("both", part), ("validation", alone)):
            half = calibrated(task, one).at(80)[test.channel(np.arange(len(test)))]
            inside[name].append(float(np.mean(np.abs(errors_of(part, test)) <= half)))
    assert np.mean(inside["both"]) == pytest.approx(0.8, abs=0.03)
    spread = {name: float(np.sqrt(np.mean((np.array(found) - 0.8) ** 2))) for name, found in inside.items()}
    assert spread["both"] < 0.6 * spread["validation"]


def test_a_long_validation_calibrates_alone() -> None:
    """It is nearest to the future; older errors of a series that changes would be misleading."""
    task, _ = task_of(train=150, validation=4 * MIN_BLOCKS + 3)
    part = choose_linear(task, "structured", (6,))
    intervals = calibrated(task, part)
    assert intervals.basis.startswith(
        f"prediction intervals from the errors of {2 * 4 * MIN_BLOCKS:,} validation windows (16 horizons). "
    )
    assert "training" not in intervals.basis
    errors = errors_of(part, task.validation)
    changed = replace(part, fold_maps=part.fold_maps * 3)
    np.testing.assert_array_equal(calibrated(task, changed).widths, intervals.widths)
    assert float(np.mean(np.abs(errors[:64]) <= intervals.at(80)[0])) == pytest.approx(0.8, abs=0.03)


def test_only_series_that_are_forecast_calibrate_and_all_their_windows_count() -> None:
    """With `features: MS` every other series was sampled first, and the target kept a fraction of its windows."""
    several, _ = task_of(train=150, validation=12, num_series=3)
    task = replace(several, validation=several.validation.of_series([1]))
    part = choose_linear(several, "structured", (6,))
    intervals = calibrated(task, part)
    windows = several.rows[1] - WINDOW.seq_len - WINDOW.pred_len + 1
    assert f"and {windows:,} training windows, forecast by fits without their block ({windows // 4})" in intervals.basis


@pytest.mark.parametrize(("train", "folds"), [(60, 4), (20, 0)])
def test_a_series_too_short_says_so(train: int, folds: int, caplog: pytest.LogCaptureFixture) -> None:
    """Without it intervals of a handful of errors would look like any others."""
    task, _ = task_of(train, validation=8)
    part = choose_linear(task, "structured", (6,))
    assert len(part.folds) == folds
    intervals = calibrated(task, part)
    assert "Too few: the intervals may be too narrow, they need 16 horizons" in intervals.basis
    assert intervals.basis in caplog.text
    assert np.isfinite(intervals.widths).all()
