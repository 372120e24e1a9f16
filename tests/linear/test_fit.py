"""The linear part is fitted on every training window, and no baseline is better on the windows that decide."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_tasks import KINDS, forecast_by, mse_on, read, task_of, training_windows, values_of, window_of

from conftest import make_inputs, make_panel, small_parameters
from timellm_pipeline.evaluation import significance
from timellm_pipeline.evaluation.baselines import naive, score, seasonal_naive
from timellm_pipeline.linear import fit, fitter, moments
from timellm_pipeline.linear.candidates import Candidate
from timellm_pipeline.linear.fit import (
    NAIVE,
    PLAIN_PENALTIES,
    RIDGES,
    SEASONAL_NAIVE,
    choose_linear,
    fit_linear,
    fit_ridge,
    inputs_id_of,
    linear_facts,
)
from timellm_pipeline.linear.fitter import Fitter, Task
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.prepare import WindowData
from timellm_pipeline.training.identity import training_facts

CANDIDATES = (
    Candidate(kind="rule", center="naive"),
    Candidate(kind="rule", center="seasonal_naive"),
    Candidate(kind="plain", penalty=0.1),
    Candidate(kind="structured", penalty=0.3),
    Candidate(kind="structured", center="seasonal_naive", seasons=(4,), penalty=1.0),
    Candidate(kind="per_series", center="naive", seasons=(4,), penalty=1.0, deviation_penalty=30.0),
)
WINDOW = window_of(8, 2)
LONG = WINDOW.pred_len * (fitter.FEWEST_HORIZONS + 1)  # rows of a validation that decides alone
SEASONS = (4,)


def noisy(num_series: int = 2, rows: int = 160, seed: int = 0) -> np.ndarray:
    """Channels with a season, a level that wanders, and noise."""
    return values_of("mixed", num_series, rows, np.random.default_rng(seed))


def chosen_penalty(part: LinearPart) -> float:
    """Penalty of a part that is one candidate."""
    (one,) = part.facts.chosen
    assert one.weight == 1
    return one.candidate.penalty


def test_ridge_recovers_a_known_linear_process() -> None:
    """Without it the closed form could solve another problem and still look like a forecast."""
    rng = np.random.default_rng(0)
    rows = 6_000
    steps = np.zeros(rows)
    for row in range(1, rows):  # the next step is half of the last one: y = x[-1] + 0.5 (x[-1] - x[-2])
        steps[row] = 0.5 * steps[row - 1] + rng.standard_normal()
    task = task_of(steps.cumsum()[None], window_of(4, 1), train=4_000)
    part = fit_ridge(task)
    weights = part.forecast(np.eye(4)) - part.forecast(np.zeros((1, 4)))
    np.testing.assert_allclose(weights[:, 0], [0, 0, -0.5, 1.5], atol=0.06)
    assert score(part.forecast, task.validation).mse == pytest.approx(1, rel=0.08)  # the noise, which nobody can know
    assert score(lambda x: naive(x, 1), task.validation).mse > 1.2


def test_ridge_is_near_exact_where_the_future_is_linear_in_the_past() -> None:
    """Without it several channels, horizon steps or chunks of windows could be mixed up in the sums."""
    hour = np.arange(800)
    values = np.stack([3 * np.sin(hour / 5) + np.cos(hour / 3), 2 * np.cos(hour / 5) - np.sin(hour / 3)])
    task = task_of(values, window_of(24, 12), train=600)
    error = score(fit_ridge(task).forecast, task.validation).mse
    assert error < 1e-4 < score(lambda x: naive(x, 12), task.validation).mse


def test_ridge_moves_with_the_level_of_its_window() -> None:
    """Without it a series that drifts above its training level would be forecast back down to it."""
    values = np.random.default_rng(1).standard_normal((1, 300)).cumsum(axis=1)
    part = fit_ridge(task_of(values, window_of(8, 3), train=200))
    x = np.random.default_rng(2).standard_normal((5, 8))
    np.testing.assert_allclose(part.forecast(x + 100), part.forecast(x) + 100, rtol=1e-9)
    assert part.forecast(x).dtype == np.float64


@pytest.mark.parametrize(("num_rows", "noise"), [(60, 1.0), (2_000, 0.1)])
def test_penalty_is_the_best_on_validation(num_rows: int, noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the baseline would be tuned by its training windows, and be weaker than it could be."""
    rng = np.random.default_rng(3)
    values = (np.sin(np.arange(num_rows + 400) / 4) + noise * rng.standard_normal(num_rows + 400))[None]
    task = task_of(values, window_of(24, 6), train=num_rows)
    chosen = fit_ridge(task)
    alone: dict[float, LinearPart] = {}
    for ridge in RIDGES:
        monkeypatch.setattr(fit, "RIDGES", (ridge,))
        alone[ridge.penalty] = fit_ridge(task)
    errors = {penalty: mse_on(part, task.validation) for penalty, part in alone.items()}
    assert len(set(errors.values())) == len(PLAIN_PENALTIES) == len(errors)
    assert chosen_penalty(chosen) == min(errors, key=lambda penalty: errors[penalty])
    np.testing.assert_array_equal(chosen.shared, alone[chosen_penalty(chosen)].shared)


def test_every_training_window_counts_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it only the last 8,192 of ETTh1's 56,231 training windows might count."""
    task = task_of(noisy(rows=300), WINDOW, train=200)
    complete = fit_ridge(task), choose_linear(task, "structured", SEASONS)
    monkeypatch.setattr(moments, "ROWS", 7)
    for whole, chunked in zip(complete, (fit_ridge(task), choose_linear(task, "structured", SEASONS))):
        assert whole.facts.num_windows == chunked.facts.num_windows == 2 * (200 - 9)
        assert [one.candidate for one in whole.facts.chosen] == [one.candidate for one in chunked.facts.chosen]
        np.testing.assert_allclose(chunked.maps, whole.maps, rtol=1e-3, atol=1e-5)


def test_many_short_series_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 series of 200 rows took a minute, one by one. The sums are the same, up to rounding."""
    task = task_of(values_of("mixed", 6, 150, np.random.default_rng(0)), window_of(12, 4), 100)
    one_by_one = choose_linear(task, "structured", (6,))
    monkeypatch.setattr(moments, "MANY_SEGMENTS", 1)
    together = choose_linear(task, "structured", (6,))
    np.testing.assert_allclose(together.shared, one_by_one.shared, rtol=1e-6, atol=1e-8)
    assert together.facts.num_windows == one_by_one.facts.num_windows


def test_more_windows_than_the_limit_are_evenly_subsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the newest part of a long series, or its last series, might never be read."""
    task = task_of(noisy(rows=300), WINDOW, train=209)
    monkeypatch.setattr(fitter, "MOST_WINDOWS", 100)  # 400 windows: every fourth
    part = fit_ridge(task)
    assert part.facts.num_windows == 100
    x, y, _ = training_windows(task)
    every_fourth = np.arange(len(x)) % 200 % 4 == 0
    expected = plain_ridge(x[every_fourth], y[every_fourth], chosen_penalty(part))
    np.testing.assert_allclose(part.shared, expected, rtol=1e-3, atol=1e-4)


def plain_ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Normal equations of a ridge regression on centred windows; the penalty is relative to the mean square."""
    mean = x.mean(axis=1, keepdims=True)
    gram, product = (x - mean).T @ (x - mean), (x - mean).T @ (y - mean)
    return np.linalg.solve(gram + penalty * max(np.trace(gram) / len(gram), 1e-12) * np.eye(len(gram)), product)


def baseline_errors(task: Task, x: np.ndarray, y: np.ndarray) -> list[float]:
    """MSE on these windows of naive, seasonal naive and every plain ridge."""
    train_x, train_y, _ = training_windows(task)
    forecasts = [naive(x, y.shape[1]), seasonal_naive(x, y.shape[1], task.season)]
    forecasts += [forecast_by(plain_ridge(train_x, train_y, penalty), x) for penalty in PLAIN_PENALTIES]
    return [float(np.mean((forecast - y) ** 2)) for forecast in forecasts]


@pytest.mark.parametrize("linear", ["structured", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_baseline_is_better_on_validation(kind: str, linear: Any) -> None:
    """The promise of the linear part: cross-validation alone would now and then choose a map that naive beats."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        num_series, train = int(rng.integers(1, 4)), int(rng.integers(10, 160))
        values = values_of(kind, num_series, train + int(rng.integers(LONG, LONG + 40)), rng)
        task = task_of(values, WINDOW, train, season=6)
        part = choose_linear(task, linear, SEASONS)
        x, y, _ = read(task.validation)
        best = min(baseline_errors(task, x, y))
        assert mse_on(part, task.validation) <= best * (1 + 1e-6), (seed, num_series, train)
        assert sum(one.weight for one in part.facts.chosen) == pytest.approx(1)
        assert all(one.weight > 0 for one in part.facts.chosen)


@pytest.mark.parametrize("kind", KINDS)
def test_no_baseline_is_better_on_a_short_validation_and_the_blocks_together(kind: str) -> None:
    """A few origins are no evidence: alone they would replace a good forecast by the baseline that was lucky there."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        num_series, train = int(rng.integers(1, 4)), int(rng.integers(20, 160))
        task = task_of(values_of(kind, num_series, train + int(rng.integers(3, LONG)), rng), WINDOW, train, season=6)
        part = choose_linear(task, "structured", SEASONS)
        ours, baselines = together(task, part)
        assert ours <= min(baselines) * (1 + 1e-5), (seed, num_series, train)


def test_on_a_short_validation_the_best_baseline_counts_half() -> None:
    """The criterion of a few blocks is noise: its first eight candidates alone were up to 1.3 times a baseline."""
    for kind, num_series in (("trend", 2), ("mixed", 2), ("random walk", 1)):
        values = values_of(kind, num_series, 120 + LONG, np.random.default_rng(1))
        short, long = (task_of(values[:, : 120 + rows], WINDOW, train=120) for rows in (LONG - 10, LONG))
        part = choose_linear(short, "structured", SEASONS)
        ridge = fit_ridge(short).facts.chosen[0].candidate
        _, limits = together(short, part)
        best = (NAIVE, SEASONAL_NAIVE, ridge)[int(np.argmin(limits))]
        weights = {one.candidate: one.weight for one in part.facts.chosen}
        assert weights[best] >= 0.5 and sum(weights.values()) == pytest.approx(1)
        assert {*weights} <= {best, *(one.candidate for one in part.facts.tried[:8])}
        alone = {one.candidate: one.weight for one in choose_linear(long, "structured", SEASONS).facts.chosen}
        assert alone.get(best, 0.0) < 0.2, "no more than the limit needs"


def together(task: Task, part: LinearPart) -> tuple[float, list[float]]:
    """MSE on validation and every block, each forecast by a fit without it, of the part and of each baseline."""
    folds, (ridge_x, ridge_y, _) = part.folds, training_windows(task)
    x, y, series = read(task.validation)
    penalty = min(
        PLAIN_PENALTIES, key=lambda one: np.mean((forecast_by(plain_ridge(ridge_x, ridge_y, one), x) - y) ** 2)
    )
    numbers = part.numbers(task.validation.names)
    ours = [part.forecast(x, numbers[series]) - y]
    inputs, targets, ridges = [x], [y], [forecast_by(plain_ridge(ridge_x, ridge_y, penalty), x) - y]
    for fold in range(len(folds)):
        first, last = folds.bounds[fold], folds.bounds[fold + 1]
        x, y, series = training_windows(task, (first, last))
        before, after = (
            training_windows(task, one) for one in ((0, max(first - folds.gap, 0)), (last + folds.gap, task.rows[1]))
        )
        matrix = plain_ridge(np.concatenate([before[0], after[0]]), np.concatenate([before[1], after[1]]), penalty)
        ours.append(part.cross_fitted(x, numbers[series], np.full(len(x), first)) - y)
        ridges.append(forecast_by(matrix, x) - y)
        inputs.append(x)
        targets.append(y)
    x, y = np.concatenate(inputs), np.concatenate(targets)
    errors = [naive(x, y.shape[1]) - y, seasonal_naive(x, y.shape[1], task.season) - y, np.concatenate(ridges)]
    return float(np.mean(np.concatenate(ours) ** 2)), [float(np.mean(error**2)) for error in errors]


def test_a_choice_that_validation_refutes_moves_to_the_best_baseline_no_further_than_needed() -> None:
    """Without it a training period of another kind than the recent one would decide alone."""
    rng = np.random.default_rng(5)
    season, walk = 2 * np.sin(np.arange(200) * np.pi / 2), 0.5 * rng.standard_normal(60).cumsum()
    values = np.concatenate([season + 0.1 * rng.standard_normal(200), walk])[None]
    task = task_of(values, WINDOW, train=200, season=4)
    part = choose_linear(task, "structured", SEASONS)
    tried = {one.candidate: one.validation_mse for one in part.facts.tried}
    limit = min(tried[Candidate(kind="rule", center="naive")], *(tried[ridge] for ridge in RIDGES))
    assert part.facts.tried[0].validation_mse > 1.5 * limit, "the first by cross-validation is worse"
    assert mse_on(part, task.validation) == pytest.approx(limit, rel=1e-5)
    assert part.facts.validation_mse == pytest.approx(limit, rel=1e-5)


def test_errors_from_moments_are_those_of_reading_every_window() -> None:
    """Every choice rests on them: a wrong sum would choose a wrong candidate and report a wrong validation MSE."""
    task = task_of(noisy(3), WINDOW, train=120, season=4, validated=[0, 2])
    folds = Folds.of(task.rows, WINDOW)
    made = Fitter(task, folds, per_series=True)
    x, y, series = read(task.validation)
    for candidate in CANDIDATES:
        (found,) = made.errors(candidate, (candidate.center,)).values()
        assert len(found) == len(folds) + 1 == 5
        maps = made.maps(candidate).numpy()
        errors = [forecast_of(maps, x, series) - y]
        for fold in range(len(folds)):
            inside_x, inside_y, inside = training_windows(task, (folds.bounds[fold], folds.bounds[fold + 1]))
            maps = made.maps(candidate, fold).numpy()
            errors.insert(-1, forecast_of(maps, inside_x, inside) - inside_y)
        np.testing.assert_allclose(found, [np.mean(error**2) for error in errors], rtol=1e-5)


def forecast_of(maps: np.ndarray, x: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Forecasts with the map of each window's series, or with the only one."""
    if len(maps) == 1:
        return forecast_by(maps[0], x)
    return np.stack([forecast_by(maps[number], row[None])[0] for row, number in zip(x, series)])


def test_the_criterion_is_the_mean_ratio_to_the_best_ridge_over_blocks_and_validation() -> None:
    """Without it one block of high variance, or validation alone, would decide."""
    task = task_of(noisy(), WINDOW, train=120)
    part = choose_linear(task, "plain", SEASONS)
    made = Fitter(task, Folds.of(task.rows, WINDOW), per_series=False)
    ridge = min(RIDGES, key=lambda candidate: made.validation.mse(made.maps(candidate)))
    base = made.errors(ridge)[ridge]
    for one in part.facts.tried:
        (errors,) = made.errors(one.candidate, (one.candidate.center,)).values()
        assert one.criterion == pytest.approx(np.mean(errors / base), rel=1e-6)
        assert one.validation_mse == pytest.approx(errors[-1], rel=1e-6)
    criteria = [one.criterion for one in part.facts.tried]
    assert criteria == sorted(criteria) and len(criteria) == 2 + len(RIDGES)


def test_few_windows_have_no_folds_and_still_a_part() -> None:
    """Without it a short file would fail, or be fitted on the remains of a block."""
    window = window_of(8, 4)
    for train in (12, 13, 8 + 4 + 5 * 4 - 2):  # one window, two, one too few for folds
        task = task_of(noisy(rows=train + 12), window, train)
        part = choose_linear(task, "structured", SEASONS)
        assert len(part.fold_maps) == 0 == len(part.folds) and part.facts.num_windows == 2 * (train - 11)
        x, y, _ = read(task.validation)
        assert mse_on(part, task.validation) <= min(baseline_errors(task, x, y)) * (1 + 1e-6)
    assert len(choose_linear(task_of(noisy(rows=60), window, 31), "structured", SEASONS).fold_maps) == 4


def test_validation_decides_alone_where_the_test_of_a_difference_would_be_made() -> None:
    """Without it "too few" would mean two different things in one report."""
    assert fitter.FEWEST_HORIZONS == significance.MIN_BLOCKS


def test_a_constant_series_is_forecast_as_it_is() -> None:
    """Without it its matrix would be singular, and its forecasts not numbers."""
    for level in (0.0, 7.5):
        part = choose_linear(task_of(np.full((1, 100), level), WINDOW, train=80), "structured", SEASONS)
        np.testing.assert_array_equal(part.forecast(np.full((3, 8), level)), np.full((3, 2), level))
        assert np.isfinite(part.maps).all() and part.facts.validation_mse == 0


def test_one_series_has_one_map_and_series_that_differ_have_maps_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it series that move in opposite ways would share a map that suits none of them."""
    assert choose_linear(task_of(noisy(1), WINDOW, train=120), "structured", ()).facts.ids == ()
    rng = np.random.default_rng(6)
    values = np.zeros((2, 600))
    for row in range(1, 600):
        values[:, row] = np.array([0.9, -0.9]) * values[:, row - 1] + rng.standard_normal(2)
    task = task_of(values, WINDOW, train=400)
    part = choose_linear(task, "structured", ())
    assert part.facts.ids == ("channel 0", "channel 1") == task.scaled.ids
    assert part.maps.shape == (2, 8, 2) and part.fold_maps.shape == (4, 2, 8, 2)
    np.testing.assert_allclose(part.shared, part.maps.mean(axis=0), atol=1e-6)
    monkeypatch.setattr(fit, "MOST_BYTES", 0)
    shared = choose_linear(task, "structured", ())
    assert mse_on(part, task.validation) < 0.97 * mse_on(shared, task.validation)


def test_series_whose_moments_need_too_much_memory_share_one_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a panel of thousands of series would end in a MemoryError."""
    task = task_of(noisy(3), WINDOW, train=120)
    monkeypatch.setattr(fit, "MOST_BYTES", 3 * 8 * 10 * 8 * fit.MOMENTS_PER_SERIES - 1)
    part = choose_linear(task, "structured", SEASONS)
    assert part.facts.ids == () and len(part.maps) == 1
    assert not any(one.candidate.kind == "per_series" for one in part.facts.tried)


def gap_task(absurd: float, first: int, last: int) -> Task:
    """Two series, one of which has filled rows with an absurd value."""
    values = noisy().astype(np.float32)
    values[0, first : last + 1] = absurd
    spans = np.array([[0, first, last]])
    columns = {f"channel {number}": row for number, row in enumerate(values)}
    return task_of(make_panel(columns, filled=spans, drop_filled=True), WINDOW, train=120)


def test_windows_with_filled_rows_are_not_fitted_on() -> None:
    """Without it `data.gaps: drop_windows` would drop them from training, but not from the linear part."""
    one, other = (choose_linear(gap_task(absurd, 40, 43), "structured", SEASONS) for absurd in (0.0, 1e6))
    assert one.as_bytes() == other.as_bytes()
    assert one.facts.num_windows == 2 * 111 - (10 + 3)


@pytest.mark.parametrize(("first", "last"), [(20, 75), (5, 118), (0, 80)])
def test_a_gap_as_long_as_a_block_leaves_a_fold_without_windows(first: int, last: int) -> None:
    """Without it one long gap would end in a division by zero."""
    task = gap_task(1e6, first, last)
    alone = replace(task, scaled=task.scaled.select(["channel 0"]))
    for one in (task, alone):
        part = choose_linear(one, "structured", SEASONS)
        assert np.isfinite(part.maps).all() and np.isfinite(part.fold_maps).all()
        assert all(np.isfinite(tried.criterion) for tried in part.facts.tried)


def test_series_that_start_later_are_fitted_on_their_own_rows() -> None:
    """Without it rows of another series, or of another time, would be read for them."""
    rng = np.random.default_rng(7)
    panel = task_of(rng.standard_normal((2, 140)).cumsum(axis=1), WINDOW, train=100).scaled
    late = replace(
        panel,
        values=np.concatenate([panel.series(0), panel.series(1)[60:]]),
        offsets=np.array([0, 140, 220]),
        first=np.array([0, 60]),
    )
    part = fit_ridge(task_of(late, WINDOW, train=100))
    assert part.facts.num_windows == 91 + 31
    x, y, series = training_windows(task_of(panel, WINDOW, train=100))
    read_rows = (series == 0) | (np.arange(len(x)) >= 91 + 60)
    expected = plain_ridge(x[read_rows], y[read_rows], chosen_penalty(part))
    np.testing.assert_allclose(part.shared, expected, rtol=1e-3, atol=1e-4)


def test_a_seasonal_panel_prefers_its_season() -> None:
    """Without it the penalties of the season could point at the wrong lags and help nobody."""
    rng = np.random.default_rng(8)
    pattern, row = 0.5 * rng.standard_normal(7), np.arange(200)
    values = (pattern[row % 7] + 0.2 * rng.standard_normal(200).cumsum() + 0.5 * rng.standard_normal(200))[None]
    for season, useful in ((7, True), (5, False)):
        part = choose_linear(task_of(values, window_of(21, 3), train=140, season=7), "structured", (season,))
        best = {
            seasons: min(one.criterion for one in part.facts.tried if one.candidate.seasons == seasons)
            for seasons in ((), (season,))
        }
        assert (best[(season,)] < best[()] - 0.01) == useful
        assert part.facts.tried[0].candidate.seasons == ((7,) if useful else ())


def test_two_seasons_are_tried_together_and_one_that_a_window_cannot_contain_is_not() -> None:
    """Without it an hourly series would never use its week, or a short window would get penalties of a week."""
    tried = {
        seq_len: {
            one.candidate.seasons
            for one in choose_linear(task_of(noisy(1), window_of(seq_len, 2), 120), "structured", (4, 12)).facts.tried
        }
        for seq_len in (12, 11, 3)
    }
    assert tried == {12: {(), (4,), (4, 12)}, 11: {(), (4,)}, 3: {()}}


def test_two_fits_are_equal_byte_for_byte() -> None:
    """Without it the content id would promise equal models and give different ones."""
    task = task_of(noisy(), WINDOW, train=120)
    one, other = (choose_linear(task, "structured", SEASONS, inputs_id="an id").as_bytes() for _ in range(2))
    assert one == other


def test_several_threads_fit_the_part_of_one_and_stay_several(several_threads: int) -> None:
    """Maps of one thread in the place of another's, or a training that goes on with one thread, would be seen late."""
    task = task_of(noisy(3), WINDOW, train=120)
    by_several = choose_linear(task, "structured", SEASONS, inputs_id="an id")
    assert torch.get_num_threads() == several_threads and len(by_several.maps) == 3
    torch.set_num_threads(1)
    assert choose_linear(task, "structured", SEASONS, inputs_id="an id").as_bytes() == by_several.as_bytes()


def fitted(raw: pd.DataFrame, **groups: dict[str, Any]) -> LinearPart:
    """The linear part of a table with small parameters."""
    parameters, data = read_with(raw, groups)
    return fit_linear(data, parameters.window, parameters.model, parameters.evaluation)


def read_with(raw: pd.DataFrame, groups: dict[str, dict[str, Any]]) -> tuple[Parameters, WindowData]:
    base = {"window": {"seq_len": 24, "pred_len": 4, "target": "OT"}, "model": {"season": 6}}
    merged = {name: {**base.get(name, {}), **groups.get(name, {})} for name in {*base, *groups}}
    parameters = small_parameters(**merged)
    return parameters, make_inputs(raw, parameters)


def test_the_fit_reads_every_training_window_whatever_the_steps(raw_series: pd.DataFrame) -> None:
    """Without it a large `window_step`, which saves training time, would also cost the linear part most of its data."""
    few = raw_series.iloc[:200]
    base = fitted(few)
    for changed in ({"window": {"window_step": 7}}, {"evaluation": {"test_step": 5}}):
        other = fitted(few, **changed)
        assert other.digest() == base.digest()
        assert other.facts.model_dump(exclude={"inputs_id"}) == base.facts.model_dump(exclude={"inputs_id"})


def test_ms_is_fitted_on_all_series_and_validated_on_the_target(raw_series: pd.DataFrame) -> None:
    """Without it the target would be forecast by a map that was chosen for other series."""
    groups = {"window": {"features": "MS"}}
    parameters, data = read_with(raw_series.iloc[:200], groups)
    part = fit_linear(data, parameters.window, parameters.model, parameters.evaluation)
    windows = data.windows("validation")
    assert {windows.names[number] for number in read(windows)[2]} == {"OT"}
    assert mse_on(part, windows) == pytest.approx(part.facts.validation_mse, rel=1e-5)
    rows = data.scaler.rows[1] - data.scaler.rows[0]
    assert part.facts.num_windows == 7 * (rows - 24 - 4 + 1)


def test_without_a_linear_part_the_mean_of_the_window_is_forecast(raw_series: pd.DataFrame) -> None:
    """Without it `model.linear: none` would not be Time-LLM as published."""
    part = fitted(raw_series, model={"linear": "none"})
    assert not part.is_fitted and not part.maps.any()
    assert fitted(raw_series.iloc[:200], model={"linear": "plain"}).is_fitted


def inputs_id(raw: pd.DataFrame, groups: dict[str, dict[str, Any]]) -> str:
    parameters, data = read_with(raw, groups)
    return inputs_id_of(data, parameters.model, parameters.evaluation)


@pytest.mark.parametrize(
    "changed",
    [
        {"window": {"seq_len": 25}},
        {"window": {"pred_len": 5}},
        {"window": {"features": "MS"}},
        {"evaluation": {"validation_step": 5}},
        {"evaluation": {"season": 12}},
        {"model": {"linear": "structured"}},
        {"model": {"linear": "none"}},
        {"model": {"season": 7}},
        {"split": {"train_percent": 50}},
        {"split": {"method": "ratio", "train_ratio": 0.6}},
    ],
)
def test_the_inputs_id_changes_with_everything_that_the_fit_reads(
    raw_series: pd.DataFrame, changed: dict[str, dict[str, Any]]
) -> None:
    """Without it a stored linear part of other parameters would be taken for this run's."""
    assert inputs_id(raw_series, changed) != inputs_id(raw_series, {})


def test_the_inputs_id_changes_with_one_value(raw_series: pd.DataFrame) -> None:
    """Without it a linear part of a corrected file would be kept."""
    other = raw_series.copy()
    other.loc[3, "OT"] += 0.01
    assert inputs_id(other, {}) != inputs_id(raw_series, {})
    other["date"] = pd.date_range("2020-01-01", periods=len(other), freq="15min").astype(str)
    assert linear_facts_of(other, {"model": {"season": None}})["seasons"] == [96, 672]


def test_the_inputs_id_does_not_change_with_what_the_fit_does_not_read(raw_series: pd.DataFrame) -> None:
    """Without it a new seed or learning rate would ask for another fit of the same part."""
    changed = {"training": {"seed": 7, "learning_rate": 0.5, "max_steps": 3}, "model": {"d_model": 4}}
    assert inputs_id(raw_series, changed) == inputs_id(raw_series, {})


def linear_facts_of(raw: pd.DataFrame, groups: dict[str, dict[str, Any]]) -> dict[str, Any]:
    parameters, data = read_with(raw, groups)
    return linear_facts(data, parameters.model, parameters.evaluation)


def test_the_facts_name_the_seasons_that_are_used(raw_series: pd.DataFrame) -> None:
    """Without it the frequency, which decides the seasons, could change and the ids not."""
    facts = linear_facts_of(raw_series, {"model": {"season": None}})
    assert facts["seasons"] == [24, 168] and facts["baseline_season"] == 24
    facts = linear_facts_of(raw_series, {"evaluation": {"season": 12}})
    assert facts["seasons"] == [6] and facts["baseline_season"] == 12
    assert linear_facts_of(raw_series, {"model": {"linear": "none"}}) == {"kind": "none"}


@pytest.mark.parametrize(("linear", "counts"), [("structured", True), ("plain", True), ("none", False)])
def test_the_baseline_season_is_part_of_the_training_id_only_with_a_linear_part(
    raw_series: pd.DataFrame, linear: str, counts: bool
) -> None:
    """With a linear part the season changes the model; without one, a report alone would start a new training."""
    ids = []
    for season in (24, 12):
        parameters, data = read_with(raw_series, {"model": {"linear": linear}, "evaluation": {"season": season}})
        ids.append(digest_of(training_facts(data, parameters, "a series", {}, Compute())))
    assert (ids[0] != ids[1]) == counts


@pytest.mark.parametrize("kind", ["trend", "two sines", "daily and weekly"])
def test_a_smooth_series_is_fitted_and_no_baseline_is_better(kind: str) -> None:
    """Moments in float32 were indefinite for smooth series: the fit crashed, or an error of 0 hid a worse forecast."""
    hour = np.arange(4_000)
    values = {
        "trend": hour / 1_000,
        "two sines": np.sin(hour / 400) + np.sin(hour / 700),
        "daily and weekly": np.sin(2 * np.pi * hour / 24) + 0.5 * np.sin(2 * np.pi * hour / 168),
    }[kind]
    task = task_of(values[None], window_of(168, 24), train=3_000, season=24)
    part, ridge = choose_linear(task, "structured", (24, 168)), fit_ridge(task)
    errors = [mse_on(one, task.validation) for one in (part, ridge)]
    assert np.isfinite(part.maps).all() and errors[0] <= errors[1] * (1 + 1e-6) + 1e-12
