"""The moments of neighbouring windows are those of reading every window."""

import numpy as np
import pytest
import torch
from small_tasks import read, task_of, window_of

from timellm_pipeline.linear import sliding
from timellm_pipeline.linear.fit import RIDGES, choose_linear, fit_ridge
from timellm_pipeline.linear.fitter import Fitter
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.linear.moments import Moments
from timellm_pipeline.linear.sliding import SlidingSums


@pytest.mark.parametrize(("seq_len", "pred_len"), [(2, 1), (8, 3), (5, 9), (48, 12)])
@pytest.mark.parametrize("counts", [[1], [3, 40], [200, 1, 7]])
def test_moments_are_those_of_every_window(seq_len: int, pred_len: int, counts: list[int]) -> None:
    """Without it the linear part would be the solution of another problem."""
    rng, sums, read = np.random.default_rng(0), SlidingSums(seq_len, pred_len), []
    for count in counts:
        rows = torch.from_numpy(100 + rng.standard_normal(count + seq_len + pred_len - 1).cumsum()).float()
        sums.add(rows)
        windows = rows.double().unfold(0, seq_len + pred_len, 1)
        read.append(windows - windows[:, :seq_len].mean(dim=1, keepdim=True))
    points = torch.cat(read)
    x, y = points[:, :seq_len], points[:, seq_len:]
    xx, xy, yy = sums.moments()
    scale = float(points.square().sum())
    np.testing.assert_allclose(xx, x.T @ x, atol=1e-12 * scale)
    np.testing.assert_allclose(xy, x.T @ y, atol=1e-12 * scale)
    assert yy == pytest.approx(float(y.square().sum()), rel=1e-9)
    assert sums.num_windows == len(points)


def test_many_series_are_added_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends of 100,000 series would fill the memory."""
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((7, 60)))
    found = []
    for at_once in (3, 100):
        monkeypatch.setattr(sliding, "SERIES_AT_ONCE", at_once)
        sums = SlidingSums(8, 3)
        for one in rows:
            sums.add(one)
            assert len(sums.ends) < at_once
        found.append(sums.moments())
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


EVENTS = [[position] for position in range(0, 350, 7)] + [[20, 345], [345, 349], [100, 101]]


@pytest.mark.parametrize("kind", ["event", "start"])
def test_rare_events_and_late_starts_are_fitted(kind: str) -> None:
    """Rounding of sums made the moments of flat inputs indefinite: `kedro run` ended with an error of a library."""
    window = window_of(28, 7)
    for events in EVENTS:
        values = np.zeros(500)
        if kind == "event":
            values[events] = 5.0
        else:
            values[events[-1] :] = 1 + 0.1 * np.random.default_rng(0).standard_normal(500 - events[-1])
        task = task_of(values[None], window, train=350, season=7)
        x, y, _ = read(task.validation)
        ridge = fit_ridge(task)
        assert np.isfinite(ridge.maps).all()
        error = float(np.mean((ridge.forecast(x) - y) ** 2))
        assert ridge.facts.validation_mse == pytest.approx(error, rel=1e-6, abs=1e-12)
        fitter = Fitter(task, Folds.of(task.rows, window), per_series=False)
        assert all(np.isfinite(errors).all() for one in RIDGES for errors in fitter.errors(one).values())
    assert np.isfinite(choose_linear(task, "structured", (7,)).maps).all()


def test_only_the_series_that_need_it_are_read_window_by_window() -> None:
    """One flat series among many must not slow down the others, nor lose its own digits."""
    values = np.random.default_rng(0).standard_normal((3, 300))
    values[1] = 0
    values[1, 245:] = 4.0  # in targets of the last windows only
    task = task_of(values, window_of(28, 7), train=100)
    moments = Moments.of(task.validation.of_series([0, 1, 2]), 3)
    x, y, series = read(task.validation)
    x, y = x - x.mean(axis=1, keepdims=True), y - x.mean(axis=1, keepdims=True)
    for number in range(3):
        mine = series == number
        assert float(moments.num_windows[number]) == mine.sum()
        np.testing.assert_allclose(moments.xx[number], x[mine].T @ x[mine], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(moments.xy[number], x[mine].T @ y[mine], rtol=1e-6, atol=1e-9)
