"""Scaled units come from training rows alone, stay finite, and go back to original units."""

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.parameters import SplitParams, WindowParams
from timellm_pipeline.series.borders import Borders, split_borders
from timellm_pipeline.series.scaling import Scaler, fit_scaler, scale_series

NUM_ROWS = 500
WINDOW = WindowParams(seq_len=24, pred_len=6)
BORDERS = split_borders(NUM_ROWS, SplitParams(), WINDOW)


def make_series(seed: int = 0, **channels: float) -> pd.DataFrame:
    """Two random channels of different level and spread, and constant ones."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=NUM_ROWS, freq="h")})
    frame["A"] = 50 + 3 * rng.standard_normal(NUM_ROWS)
    frame["OT"] = -7 + 0.2 * rng.standard_normal(NUM_ROWS)
    for name, value in channels.items():
        frame[name] = np.full(NUM_ROWS, value)
    frame.attrs = {"frequency": "h", "file": "a.csv", "sha256": "0" * 64}
    return frame


def fit(series: pd.DataFrame, borders: Borders = BORDERS) -> Scaler:
    """The scaler of every channel of a series."""
    return fit_scaler(series, [name for name in series.columns if name != "date"], borders, "id")


def test_scaler_is_fitted_on_training_rows_alone() -> None:
    """Without it the test's own level would leak into training through the scale."""
    series = make_series()
    scaler = fit(series)
    visible = series[["A", "OT"]].iloc[: BORDERS.train_rows].to_numpy()
    np.testing.assert_allclose(scaler.mean, visible.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.std, visible.std(axis=0, ddof=0), rtol=1e-12)
    assert scaler.rows == BORDERS.train == (0, 350)
    later = series.copy()
    later.loc[BORDERS.train_rows :, ["A", "OT"]] = 1e6
    assert fit(later) == scaler
    sooner = series.copy()
    sooner.loc[BORDERS.train_rows - 1, "A"] += 1  # the last row that training sees
    assert fit(sooner) != scaler


def test_few_shot_scaler_sees_no_row_beyond_the_visible_ones() -> None:
    """Without it few-shot tables leak: the published code fits on all training rows (its defect D5)."""
    few = split_borders(NUM_ROWS, SplitParams(train_percent=20), WINDOW)
    assert few.train_rows == (350 - 24) * 20 // 100 + 24 == 89
    series = make_series()
    scaler = fit(series, few)
    np.testing.assert_allclose(scaler.mean, series[["A", "OT"]].iloc[:89].mean().to_numpy(), rtol=1e-12)
    hidden = series.copy()
    hidden.loc[89:, ["A", "OT"]] = np.nan
    assert fit(hidden, few) == scaler


def test_training_rows_have_mean_zero_and_spread_one() -> None:
    """Without it scaled errors could not be compared with anybody's."""
    scaled = scale_series(make_series(), fit(make_series()))
    visible = scaled[["A", "OT"]].iloc[: BORDERS.train_rows].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(visible.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(visible.std(axis=0), 1, atol=1e-6)
    assert np.abs(scaled[["A", "OT"]].to_numpy().mean(axis=0)).min() > 1e-4  # the later rows are not in it


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 20.7, 123456.789])
def test_constant_channel_stays_finite_and_in_its_own_units(value: float) -> None:
    """Without it a pump that stood still in training makes NaN, or 1e17 once it moves, and ruins every mean."""
    series = make_series(C=value)
    series.loc[NUM_ROWS - 1, "C"] = value + 1  # it moves in the test
    scaler = fit(series)
    scaled = scale_series(series, scaler)["C"].to_numpy()
    assert scaler.std[2] == 1.0
    np.testing.assert_allclose(scaled[:-1], 0, atol=1e-6)
    np.testing.assert_allclose(scaled[-1], 1, rtol=1e-6)


def test_scaled_series_is_float32_behind_date_with_facts_and_data_id() -> None:
    """Without it the frequency, and with it the season and the prompt, would be lost on the way to training."""
    series = make_series()
    scaled = scale_series(series, fit(series))
    assert list(scaled.columns) == ["date", "A", "OT"]
    assert (scaled[["A", "OT"]].dtypes == np.float32).all()
    assert scaled["date"].equals(series["date"])
    assert scaled.attrs == {**series.attrs, "data_id": "id"}
    assert "data_id" not in series.attrs


def test_scaler_of_one_channel_scales_that_channel_alone() -> None:
    """Without it `features: S` would carry channels that nobody indexed."""
    series = make_series()
    scaler = fit_scaler(series, ["OT"], BORDERS, "id")
    scaled = scale_series(series, scaler)
    assert list(scaled.columns) == ["date", "OT"]
    whole = scale_series(series, fit(series))
    assert scaled["OT"].equals(whole["OT"])


def test_unscale_brings_each_window_back_with_its_own_channel() -> None:
    """Without it forecasts in original units could carry another channel's level."""
    series = make_series()
    scaler = fit(series)
    values = series[["A", "OT"]].to_numpy()
    scaled = scaler.scale(values)
    channel = np.array([1, 0, 1])
    windows = np.stack([scaled[10:16, 1], scaled[20:26, 0], scaled[30:36, 1]])
    expected = np.stack([values[10:16, 1], values[20:26, 0], values[30:36, 1]])
    np.testing.assert_allclose(scaler.unscale(windows, channel), expected, rtol=1e-12)


def test_scaler_survives_json_to_the_last_bit() -> None:
    """Without it a model's saved scaler could give other units than the one it was trained with."""
    scaler = fit(make_series(C=5.0))
    assert Scaler.model_validate_json(scaler.model_dump_json()) == scaler
    assert Scaler.model_validate(scaler.model_dump(mode="json")) == scaler
