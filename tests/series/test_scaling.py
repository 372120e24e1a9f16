"""Scaled units come from training rows alone, stay finite, and go back to original units."""

import numpy as np
import pandas as pd
import pytest

from conftest import make_panel
from timellm_pipeline.parameters import SplitParams, WindowParams
from timellm_pipeline.series.borders import Borders, split_borders
from timellm_pipeline.series.panel import Panel, Source
from timellm_pipeline.series.scaling import Scaler, fit_scaler, scale_panel

NUM_ROWS = 500
WINDOW = WindowParams(seq_len=24, pred_len=6)
BORDERS = split_borders(NUM_ROWS, SplitParams(), WINDOW)


def make_columns(seed: int = 0, **channels: float) -> dict[str, np.ndarray]:
    """Two random channels of different level and spread, and constant ones."""
    rng = np.random.default_rng(seed)
    columns = {"A": 50 + 3 * rng.standard_normal(NUM_ROWS), "OT": -7 + 0.2 * rng.standard_normal(NUM_ROWS)}
    return columns | {name: np.full(NUM_ROWS, value) for name, value in channels.items()}


def make_series(**channels: float) -> Panel:
    """The same as a panel."""
    return make_panel(make_columns(**channels), source=Source("a.csv", "0" * 64, NUM_ROWS))


def fit(series: Panel, borders: Borders = BORDERS) -> Scaler:
    """The scaler of every channel of a series."""
    return fit_scaler(series, borders, "id")


def table(panel: Panel) -> np.ndarray:
    """Values as [rows, channels]."""
    return panel.values.reshape(panel.num_series, -1).T


def test_scaler_is_fitted_on_training_rows_alone() -> None:
    """Without it the test's own level would leak into training through the scale."""
    columns = make_columns()
    scaler = fit(make_panel(columns))
    visible = table(make_panel(columns))[: BORDERS.train_rows]
    np.testing.assert_allclose(scaler.mean, visible.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.std, visible.std(axis=0, ddof=0), rtol=1e-12)
    assert scaler.rows == BORDERS.train == (0, 350)
    later, sooner = make_columns(), make_columns()
    for values in later.values():
        values[BORDERS.train_rows :] = 1e6
    assert fit(make_panel(later)) == scaler
    sooner["A"][BORDERS.train_rows - 1] += 1  # the last row that training sees
    assert fit(make_panel(sooner)) != scaler


def test_few_shot_scaler_sees_no_row_beyond_the_visible_ones() -> None:
    """Without it few-shot tables leak: the published code fits on all training rows (its defect D5)."""
    few = split_borders(NUM_ROWS, SplitParams(train_percent=20), WINDOW)
    assert few.train_rows == (350 - 24) * 20 // 100 + 24 == 89
    series = make_series()
    scaler = fit(series, few)
    np.testing.assert_allclose(scaler.mean, table(series)[:89].mean(axis=0), rtol=1e-12)
    hidden = make_columns()
    for values in hidden.values():
        values[89:] = np.nan
    assert fit(make_panel(hidden), few) == scaler


def test_training_rows_have_mean_zero_and_spread_one() -> None:
    """Without it scaled errors could not be compared with anybody's."""
    scaled = table(scale_panel(make_series(), fit(make_series())))
    visible = scaled[: BORDERS.train_rows].astype(np.float64)
    np.testing.assert_allclose(visible.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(visible.std(axis=0), 1, atol=1e-6)
    assert np.abs(scaled.mean(axis=0)).min() > 1e-4  # the later rows are not in it


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 20.7, 123456.789])
def test_constant_channel_stays_finite_and_in_its_own_units(value: float) -> None:
    """Without it a pump that stood still in training makes NaN, or 1e17 once it moves, and ruins every mean."""
    columns = make_columns(C=value)
    columns["C"][-1] = value + 1  # it moves in the test
    series = make_panel(columns)
    scaler = fit(series)
    scaled = scale_panel(series, scaler).series(2)
    assert scaler.std[2] == 1.0
    np.testing.assert_allclose(scaled[:-1], 0, atol=1e-6)
    np.testing.assert_allclose(scaled[-1], 1, rtol=1e-6)


def test_scaled_panel_is_float32_with_the_facts_of_the_series_and_the_data_id() -> None:
    """Without it the frequency, and with it the season and the prompt, would be lost on the way to training."""
    series = make_series()
    scaled = scale_panel(series, fit(series))
    assert scaled.values.dtype == np.float32 and scaled.data_id == "id" and series.data_id is None
    same = ("ids", "start", "frequency", "zone", "source", "drop_filled")
    assert all(getattr(scaled, name) == getattr(series, name) for name in same)


def test_scaler_of_one_channel_scales_that_channel_alone() -> None:
    """Without it `features: S` would carry channels that nobody indexed."""
    series = make_series()
    scaled = scale_panel(series, fit(series.select(["OT"])))
    assert scaled.ids == ("OT",)
    np.testing.assert_array_equal(scaled.values, scale_panel(series, fit(series)).series(1))


def test_unscale_brings_each_window_back_with_its_own_channel() -> None:
    """Without it forecasts in original units could carry another channel's level."""
    series = make_series()
    scaler, values, channel = fit(series), table(make_series()), np.array([1, 0, 1])
    windows = np.stack([values[10:16, 1], values[20:26, 0], values[30:36, 1]])
    scaled = scaler.scale(windows, channel)
    np.testing.assert_allclose(scaled.mean(axis=1), 0, atol=2)  # each in units of its own channel
    np.testing.assert_allclose(scaler.unscale(scaled, channel), windows, rtol=1e-12)


def test_scaler_survives_json_to_the_last_bit() -> None:
    """Without it a model's saved scaler could give other units than the one it was trained with."""
    scaler = fit(make_series(C=5.0))
    assert Scaler.model_validate_json(scaler.model_dump_json()) == scaler
    assert Scaler.model_validate(scaler.model_dump(mode="json")) == scaler


def test_the_scale_of_many_series_has_the_bits_of_each_series_alone() -> None:
    """Series are taken together, which must not change the model of a wide file by its last bit."""
    rng = np.random.default_rng(0)
    lengths = np.array([300, 120, 300, 57, 300, 120, 31])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.standard_normal(offsets[-1]) * 1e3 + 17
    columns = {"start": pd.Timestamp("2020-01-01"), "frequency": "D"}
    ids = tuple("abcdefg")
    panel = Panel(ids, values, offsets, np.array([0, 100, 0, 243, 0, 10, 269]), **columns)
    borders = split_borders(300, SplitParams(), WINDOW)
    scaler = fit_scaler(panel, borders, "x")
    scaled = scale_panel(panel, scaler)
    for number, begin in enumerate(panel.first):
        own = panel.series(number)[: max(borders.train[1] - begin, WINDOW.seq_len)]
        assert (scaler.mean[number], scaler.std[number]) == (own.mean(), own.std())
        alone = ((panel.series(number) - own.mean()) / own.std()).astype(np.float32)
        assert np.array_equal(scaled.series(number), alone)
