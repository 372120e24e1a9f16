"""Effects of known columns: found, removed before a forecast and added after it, and dropped where they do not help."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_tasks import panel_of, task_of, window_of

from timellm_pipeline.errors import ModelError
from timellm_pipeline.linear.effects import KnownEffects
from timellm_pipeline.linear.effects_fit import fit_effects
from timellm_pipeline.linear.fit import choose_linear, fit_ridge
from timellm_pipeline.linear.fitter import Task
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.linear.remainder import Remainder
from timellm_pipeline.linear.residuals import Residuals
from timellm_pipeline.model.parts import forecast_parts
from timellm_pipeline.series.known import Known
from timellm_pipeline.series.windows import Windows, windows_between

ROWS, TRAIN = 400, 280
WINDOW = window_of(24, 6)


def task(effects: np.ndarray, noise: float = 0.2, seed: int = 0) -> Task:
    """Series with a weekly cycle and effects [series, columns] of known columns."""
    rng, row = np.random.default_rng(seed), np.arange(ROWS)
    num_series, columns = effects.shape
    known = rng.random((num_series * ROWS, columns)).astype(np.float32) < 0.3
    values = known.reshape(num_series, ROWS, columns).astype(np.float32)
    cycle = np.sin(row * 2 * np.pi / 7) + rng.normal(0, noise, (num_series, ROWS))
    series = cycle + np.einsum("src,sc->sr", values, effects)
    names = tuple(f"column {number}" for number in range(columns))
    start = np.arange(num_series) * ROWS
    facts = Known(names, values.reshape(-1, columns), start, np.full(num_series, ROWS))
    return task_of(replace(panel_of(series), known=facts), WINDOW, TRAIN, season=7)


def fitted(one: Task) -> KnownEffects | None:
    return fit_effects(one, fit_ridge(one), Folds.of(one.rows, WINDOW))


def test_the_effect_of_a_promotion_is_found() -> None:
    """Up to noise, in units of the series per unit of the column; of the window and of the horizon alike."""
    found = fitted(task(np.tile([1.5, -0.5], (4, 1))))
    assert found is not None
    slopes = found.coefficients / found.scale
    np.testing.assert_allclose(slopes, np.broadcast_to([1.5, -0.5], slopes.shape), atol=0.05)


def test_series_have_effects_of_their_own() -> None:
    """A promotion doubles the sales of one store and is ignored in another."""
    truth = np.array([[2.0], [0.0], [1.0], [-1.0]])
    found = fitted(task(truth))
    assert found is not None and found.ids == tuple(f"channel {number}" for number in range(4))
    np.testing.assert_allclose(found.coefficients[1:] / found.scale, truth, atol=0.1)


def test_columns_without_an_effect_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """Validation decides; what is dropped is reported."""
    dropped = 0
    for seed in range(6):
        if fitted(task(np.zeros((3, 2)), noise=1.0, seed=seed)) is None:
            dropped += 1
            assert "the known columns are not used" in caplog.text
    assert dropped > 0


def test_a_constant_column_changes_nothing() -> None:
    """Its level is part of the mean of the window."""
    one = task(np.array([[1.0, 0.0], [1.0, 0.0]]))
    known = one.scaled.known
    assert known is not None
    values = known.values.copy()
    values[:, 1] = 1e6
    constant = replace(one.scaled, known=replace(known, values=values))
    found = fitted(replace(one, scaled=constant, validation=replace(one.validation, panel=constant)))
    assert found is not None and np.abs(found.coefficients[:, 1]).max() < 1e-6


def with_effects() -> tuple[Task, LinearPart]:
    one = task(np.array([[1.5], [0.5], [1.0]]))
    effects = fitted(one)
    assert effects is not None
    return one, replace(choose_linear(one.without(effects), "plain", ()), effects=effects)


def test_forecasts_are_those_of_the_remainder_plus_the_effect() -> None:
    """So that errors, and everything that is chosen by them, are those of the remainder."""
    one, part = with_effects()
    assert part.effects is not None
    which = np.arange(len(one.validation))
    found, truth = forecasts(part, one.validation)
    np.testing.assert_allclose(truth, one.validation.gather(which)[1], atol=1e-6)
    x, y = replace(one.validation, panel=part.effects.removed(one.scaled)).gather(which)
    np.testing.assert_allclose(truth - found, y - part.forecast(x), atol=1e-5)
    plain, _ = forecasts(fit_ridge(one), one.validation)
    assert ((truth - found) ** 2).mean() < 0.3 * ((truth - plain) ** 2).mean()


def forecasts(part: LinearPart, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts and targets of all windows."""
    parts = list(forecast_parts(part, None, windows, 64))
    return np.concatenate([one.forecast(0.0) for one in parts]), np.concatenate([one.truth for one in parts])


def test_the_network_is_trained_on_the_remainder() -> None:
    """Inputs and targets without the effects."""
    one, part = with_effects()
    assert part.effects is not None
    train = windows_between(one.scaled, (0, TRAIN - 30), 3, WINDOW)
    which = np.arange(len(train))
    fold = part.folds.of_start(train.origin(which) - 23)
    assert len(part.effects.fold_coefficients) == len(part.folds) == 4
    x, y = Residuals(train, part).gather(which)
    for number in range(4):  # effects that were fitted without the block of the window
        own = replace(part.effects, coefficients=part.effects.fold_coefficients[number])
        removed = replace(train, panel=own.removed(one.scaled))
        expected = Residuals(removed, replace(part, effects=None)).gather(which[fold == number])
        for found, other in zip((x[fold == number], y[fold == number]), expected):
            np.testing.assert_allclose(found, other, atol=1e-5)
    differing = np.abs(part.effects.fold_coefficients - part.effects.coefficients).max(axis=(1, 2))
    assert (differing > 0).all()


def test_an_unknown_series_has_the_shared_effect() -> None:
    """A store that the model was not trained on."""
    one, part = with_effects()
    assert part.effects is not None
    other = replace(one.scaled, ids=("new 1", "new 2", "new 3"))
    windows = Windows(other, one.validation.segments, 24, 6)
    which = np.arange(3)
    known = windows.known(which)
    expected = part.effects.of(known, np.zeros(3, dtype=np.int64))[:, 24:]
    np.testing.assert_array_equal(Remainder(windows, part.effects).future(which, 24), expected)


@pytest.mark.parametrize("names", [None, ("another",)])
def test_other_known_columns_are_refused(names: tuple[str, ...] | None) -> None:
    """Without them the forecast would be wrong in silence."""
    one, part = with_effects()
    known = one.scaled.known
    assert known is not None
    panel = replace(one.scaled, known=replace(known, names=names) if names else None)
    windows = Windows(panel, one.validation.segments, 24, 6)
    with pytest.raises(ModelError, match="the model needs the known columns column 0; the series have"):
        list(forecast_parts(part, None, windows, 64))


def test_effects_are_saved_with_the_linear_part(tmp_path: Path) -> None:
    """And change its digest; a part without effects has the bytes that it had before effects existed."""
    _, part = with_effects()
    path = tmp_path / "linear.safetensors"
    path.write_bytes(part.as_bytes())
    again = LinearPart.from_file(path)
    assert again.effects is not None and part.effects is not None
    assert (again.effects.names, again.effects.ids) == (part.effects.names, part.effects.ids)
    for name, array in part.effects.arrays.items():
        np.testing.assert_array_equal(again.effects.arrays[name], array)
    assert again.digest() == part.digest() != replace(part, effects=None).digest()
    assert b"effect" not in replace(part, effects=None).as_bytes()


def test_a_damaged_file_of_effects_is_refused(tmp_path: Path) -> None:
    """Coefficients of other series."""
    _, part = with_effects()
    assert part.effects is not None
    wrong = replace(part, effects=replace(part.effects, ids=("one",)))
    (tmp_path / "linear.safetensors").write_bytes(wrong.as_bytes())
    with pytest.raises(ModelError, match="arrays of other shapes"):
        LinearPart.from_file(tmp_path / "linear.safetensors")
