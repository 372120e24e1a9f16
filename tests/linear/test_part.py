"""A stored linear part is the fitted one, a damaged one is refused, and a forecast depends on its own window alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save
from small_tasks import task_of, values_of, window_of

from timellm_pipeline.errors import ModelError
from timellm_pipeline.linear.fit import choose_linear
from timellm_pipeline.linear.part import UNKNOWN, LinearPart

WINDOW = window_of(8, 3)
NAMES = ("channel 0", "channel 1", "channel 2")


@pytest.fixture(scope="module")
def part() -> LinearPart:
    """A fitted part with maps of three series, drawn so that every map and fold differs."""
    task = task_of(values_of("mixed", 3, 120, np.random.default_rng(0)), WINDOW, train=90)
    fitted = choose_linear(task, "structured", (4,), inputs_id="an id")
    rng = np.random.default_rng(1)
    maps, folds = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 8, 3), (4, 3, 8, 3)))
    return LinearPart(fitted.facts.model_copy(update={"ids": NAMES}), maps.mean(axis=0), maps, folds)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(2).standard_normal((50, 8)).astype(np.float32) + 5


def stored(part: LinearPart, folder: Path) -> Path:
    path = folder / "linear.safetensors"
    path.write_bytes(part.as_bytes())
    return path


def test_a_stored_part_is_the_fitted_one_byte_for_byte(part: LinearPart, tmp_path: Path) -> None:
    """Without it a loaded model would forecast something else than the one that was tested."""
    for one in (part, part.without_folds(), LinearPart.mean_of_window(8, 3, "an id")):
        loaded = LinearPart.from_file(stored(one, tmp_path))
        assert loaded.as_bytes() == one.as_bytes() and loaded.digest() == one.digest()
        assert loaded.facts == one.facts and loaded.facts.inputs_id == "an id"
        assert loaded.is_fitted == one.is_fitted


def test_the_digest_names_every_map(part: LinearPart) -> None:
    """Without it another linear part could have the content id of this one."""
    others = [replace(part, **{name: getattr(part, name) + 1}) for name in ("shared", "maps", "fold_maps")]
    assert len({one.digest() for one in (part, part.without_folds(), *others)}) == 5


def test_a_part_without_folds_forecasts_the_same(part: LinearPart, x: np.ndarray) -> None:
    """Without it the stored model would differ from the trained one."""
    series = np.arange(50) % 3
    np.testing.assert_array_equal(part.without_folds().forecast(x, series), part.forecast(x, series))
    assert part.without_folds().fold_maps.shape == (0, 3, 8, 3)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(part: LinearPart, tmp_path: Path, share: float) -> None:
    """Without it half a file would end in a traceback of the reader."""
    path = stored(part, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match="cannot read the linear part"):
        LinearPart.from_file(path)


def test_a_missing_file_and_a_damaged_header_are_refused(part: LinearPart, tmp_path: Path) -> None:
    """Without it damage would end in a KeyError or a validation error without a path."""
    with pytest.raises(ModelError, match="cannot read the linear part"):
        LinearPart.from_file(tmp_path / "none")
    path = stored(part, tmp_path)
    content = path.read_bytes()
    arrays = load(content)
    for damaged in (
        content.replace(b"inputs_id", b"inputs_ix"),
        content.replace(b'"facts"', b'"facte"'),
        content.replace(b'"fold_maps"', b'"fold_mapz"'),
        b"\xff" * 8 + content[8:],
        save(arrays),
        save(arrays, {"facts": "[]"}),
        save({"maps": part.maps}, {"facts": part.facts.model_dump_json()}),
        b"a table, no tensors",
    ):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="cannot read the linear part"):
            LinearPart.from_file(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"shared": np.zeros((8, 2), dtype=np.float32)},
        {"shared": np.zeros((8,), dtype=np.float32)},
        {"maps": np.zeros((2, 8, 3), dtype=np.float32)},
        {"maps": np.zeros((3, 7, 3), dtype=np.float32)},
        {"fold_maps": np.zeros((4, 2, 8, 3), dtype=np.float32)},
        {"fold_maps": np.zeros((4, 3, 8, 2), dtype=np.float32)},
        {"fold_maps": np.zeros((3, 3, 8, 3), dtype=np.float32)},
        {"fold_maps": np.zeros((0,), dtype=np.float32)},
    ],
)
def test_maps_of_other_shapes_are_refused(part: LinearPart, tmp_path: Path, changed: dict[str, Any]) -> None:
    """Without it a series would get the map of another, or training would fail at some window."""
    with pytest.raises(ModelError, match="shapes"):
        LinearPart.from_file(stored(replace(part, **changed), tmp_path))


@pytest.mark.parametrize("name", ["shared", "maps", "fold_maps"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_maps_that_are_not_finite_are_refused(part: LinearPart, tmp_path: Path, name: str, value: float) -> None:
    """Without it every forecast of the series would be NaN, without an error."""
    damaged = getattr(part, name).copy()
    damaged.flat[-1] = value
    with pytest.raises(ModelError, match="not finite"):
        LinearPart.from_file(stored(replace(part, **{name: damaged}), tmp_path))


def test_a_forecast_depends_on_its_window_and_series_alone(part: LinearPart, x: np.ndarray) -> None:
    """Without it a forecast would change with the other series that are forecast with it."""
    series = np.random.default_rng(3).integers(UNKNOWN, 3, size=50)
    together = part.forecast(x, series)
    assert together.dtype == np.float64 and together.shape == (50, 3)
    matrices = [*part.maps, part.shared]  # UNKNOWN is -1: the last
    for number in range(50):
        alone = part.forecast(x[[number]], series[[number]])[0]
        window = x[number].astype(np.float64)
        expected = window.mean() + (window - window.mean()) @ matrices[series[number]].astype(np.float64)
        np.testing.assert_allclose(together[number], alone, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(alone, expected, rtol=1e-12, atol=1e-12)
    order = np.random.default_rng(4).permutation(50)
    np.testing.assert_allclose(part.forecast(x[order], series[order]), together[order], rtol=1e-12, atol=1e-12)


def test_cross_fitted_forecasts_use_the_map_of_fold_and_series(part: LinearPart, x: np.ndarray) -> None:
    """Without it a window would be forecast by a map that saw its target."""
    series, start = np.arange(50) % 3, np.arange(50) * 2
    found = part.cross_fitted(x, series, start)
    bounds = part.facts.bounds
    for number in range(50):
        fold = max(k for k in range(4) if k == 0 or start[number] >= bounds[k])
        window = x[number].astype(np.float64)
        matrix = part.fold_maps[fold, series[number]].astype(np.float64)
        expected = window.mean() + (window - window.mean()) @ matrix
        np.testing.assert_allclose(found[number], expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(AssertionError, match="are not stored with a model"):
        part.without_folds().cross_fitted(x, series, start)  # they would be errors of maps that saw the windows


def test_an_unknown_series_gets_the_shared_map(part: LinearPart, x: np.ndarray) -> None:
    """Without it a new series would be forecast by the map of the last one (index -1), or not at all."""
    numbers = part.numbers(["channel 2", "new", "channel 0", "channel 2"])
    assert numbers.tolist() == [2, UNKNOWN, 0, 2]
    shared = part.forecast(x)
    np.testing.assert_array_equal(part.forecast(x, np.full(50, UNKNOWN)), shared)
    assert np.abs(part.forecast(x, np.full(50, 2)) - shared).max() > 0.01
    one_map = LinearPart(
        part.facts.model_copy(update={"ids": ()}), part.shared, part.shared[None], part.fold_maps[:, :1]
    )
    assert one_map.numbers(NAMES).tolist() == [UNKNOWN] * 3
    np.testing.assert_array_equal(one_map.forecast(x, one_map.numbers(["a"] * 50)), shared)
    of_fold = one_map.cross_fitted(x, np.full(50, UNKNOWN), np.zeros(50, dtype=np.int64))
    assert of_fold.shape == (50, 3)


def test_the_mean_of_the_window_is_the_forecast_without_a_linear_part(x: np.ndarray) -> None:
    """Without it Time-LLM alone would be trained on something else than published."""
    part = LinearPart.mean_of_window(8, 3)
    expected = np.repeat(x.astype(np.float64).mean(axis=1, keepdims=True), 3, axis=1)
    np.testing.assert_allclose(part.forecast(x), expected, rtol=1e-12)
    np.testing.assert_allclose(part.cross_fitted(x, np.full(50, UNKNOWN), np.arange(50)), expected, rtol=1e-12)
    assert not part.is_fitted and len(part.folds) == 0


def test_no_windows_have_no_forecasts(part: LinearPart) -> None:
    """Without it an empty batch would end in an IndexError."""
    assert len(part.forecast(np.zeros((0, 8), dtype=np.float32))) == 0
