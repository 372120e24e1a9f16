"""A trained model forecasts the values after the last row of a table, with time stamps, in the table's own units."""

from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_inputs, small_parameters
from synthetic import synthetic_series
from timellm_pipeline.errors import ModelError, ParameterError, SeriesError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.prepare import read_series
from timellm_pipeline.series.validation import Wanted
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model


@pytest.fixture(scope="module")
def folder(raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model, saved."""
    root = tmp_path_factory.mktemp("future")
    parameters = small_parameters(backbones["llama"], training={"max_steps": 6})
    inputs = make_inputs(raw_series, parameters)
    trained = train_model(inputs, parameters, BackboneSource(root / "c"), CheckpointStore(root / "s"), "v").model
    trained.write(root / "model")
    return root / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> TimeLLM:
    return TimeLLM.load(folder)


def test_a_forecast_continues_from_the_last_row_in_original_units(model: TimeLLM, raw_series: pd.DataFrame) -> None:
    """Shifted by a row, or left in scaled units, a forecast still seems to be one."""
    table = model.forecast(raw_series)
    assert list(table.columns[:5]) == ["channel", "window_end", "step", "timestamp", "forecast"]
    assert list(table.columns[5:]) == ["lower_80", "upper_80", "lower_95", "upper_95", "window_filled"]
    channels = [name for name in raw_series.columns if name != "date"]
    assert list(dict.fromkeys(table["channel"])) == channels and len(table) == 7 * 12
    last = pd.Timestamp(raw_series["date"].iloc[-1])
    assert (table["window_end"] == last).all()
    of_target = table[table["channel"] == "OT"]
    assert of_target["step"].tolist() == list(range(1, 13))
    assert of_target["timestamp"].tolist() == list(pd.date_range(last, periods=13, freq="h")[1:])
    scaler = model.saved.scaler
    number = channels.index("OT")
    window = (raw_series["OT"].to_numpy()[-48:] - scaler.mean[number]) / scaler.std[number]
    with torch.no_grad():
        alone = model(torch.from_numpy(window.astype(np.float32))[None], series=["OT"])[0].numpy()
    np.testing.assert_allclose(of_target["forecast"], alone * scaler.std[number] + scaler.mean[number], rtol=1e-5)
    assert (table["lower_95"] <= table["lower_80"]).all() and (table["lower_80"] <= table["forecast"]).all()
    assert (table["upper_80"] <= table["upper_95"]).all()


def test_rolling_origins_give_the_forecasts_made_at_that_time(model: TimeLLM, raw_series: pd.DataFrame) -> None:
    """A backtest that sees a row of its own horizon is worthless."""
    rolled = model.forecast(raw_series, origins=3)
    for back in range(3):
        cut = raw_series.iloc[: len(raw_series) - 12 * back].copy()
        then = model.forecast(cut)
        part = rolled[rolled["window_end"] == then["window_end"].iloc[0]].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, then, rtol=1e-5, atol=1e-4)


def test_long_and_wide_tables_give_the_same(model: TimeLLM, raw_series: pd.DataFrame) -> None:
    """People have both."""
    wide = model.forecast(raw_series)
    stamped = raw_series.assign(date=pd.to_datetime(raw_series["date"]))
    pd.testing.assert_frame_equal(model.forecast(stamped), wide)
    long = raw_series.melt("date", var_name="channel", value_name="value").sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        model.forecast(long).sort_values(["channel", "step"], ignore_index=True),
        wide.sort_values(["channel", "step"], ignore_index=True),
    )
    other = long.rename(columns={"date": "ds", "channel": "unique_id", "value": "y"})
    assert len(model.forecast(other)) == len(wide)
    with pytest.raises(SeriesError, match="is repeated for channel"):
        model.forecast(pd.concat([long, long.iloc[:1]]))


def test_tables_that_do_not_fit_are_one_clear_error_each(model: TimeLLM, raw_series: pd.DataFrame) -> None:
    """Each of them would give a forecast that means nothing."""
    with pytest.raises(SeriesError, match=r"40 rows are too few: the model needs 48"):
        model.forecast(raw_series.iloc[:40])
    with pytest.raises(SeriesError, match=r"3 origins 12 rows apart need 72") as caught:
        model.forecast(raw_series.iloc[:60], origins=3)
    assert "forecast.origins" in caught.value.do
    with pytest.raises(SeriesError, match="the channel `HULL` is not in the file") as caught:
        model.forecast(raw_series.drop(columns="HULL"))
    assert "channels that the model was trained on" in caught.value.do
    with pytest.raises(SeriesError, match="trained on frequency h; this table has frequency 2h"):
        model.forecast(raw_series.iloc[::2])


@pytest.mark.parametrize(
    "argument", [{"origins": 0}, {"levels": [81]}, {"levels": 80}, {"batch_size": 0}, {"gaps": "fill"}], ids=str
)
def test_invalid_arguments_are_one_clear_error_each(
    model: TimeLLM, raw_series: pd.DataFrame, argument: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt `gaps` would interpolate, and no origin would be an IndexError."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users run without the type checker of the tests
    with pytest.raises(ParameterError, match=next(iter(argument))) as caught:
        model.forecast(raw_series, **argument)
    assert "TimeLLM.forecast" in caught.value.where


def test_a_model_saved_again_forecasts_the_same(model: TimeLLM, raw_series: pd.DataFrame, tmp_path: Path) -> None:
    """`save` must keep scaler, settings and intervals."""
    model.save(tmp_path / "again")
    pd.testing.assert_frame_equal(TimeLLM.load(tmp_path / "again").forecast(raw_series), model.forecast(raw_series))
    assert not list(tmp_path.glob(".partial*"))
    parameters = small_parameters("none")
    built = TimeLLM(parameters.window, parameters.prompt, parameters.model, None)
    for call in (lambda: built.save(tmp_path / "no"), lambda: built.forecast(raw_series)):
        with pytest.raises(ModelError, match="no scaler and no channels"):
            call()


def test_calendar_frequencies_follow_the_calendar(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A month is not 30 days."""
    raw = synthetic_series(num_rows=240, seed=2)
    raw["date"] = pd.date_range("2000-01-01", periods=240, freq="MS").astype(str)
    parameters = small_parameters(
        "none", window={"seq_len": 24, "pred_len": 6, "window_step": 1}, training={"max_steps": 2}
    )
    inputs = make_inputs(raw, parameters)
    trained = train_model(inputs, parameters, BackboneSource(tmp_path), CheckpointStore(tmp_path / "s"), "v").model
    trained.write(tmp_path / "model")
    table = TimeLLM.load(tmp_path / "model").forecast(raw)
    stamps = table[table["channel"] == "OT"]["timestamp"].dt.strftime("%Y-%m-%d").tolist()
    assert stamps == ["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-05-01", "2020-06-01"]


@pytest.mark.parametrize("value", [1e30, 1e200, -1e308])
def test_an_extreme_newest_value_is_refused_and_not_forecast_as_blank(
    model: TimeLLM, raw_series: pd.DataFrame, value: float
) -> None:
    """forecast.csv was full of blanks and `inf`, with status 0."""
    spoiled = raw_series.copy()
    spoiled.loc[spoiled.index[-1], "HULL"] = value
    with pytest.raises(SeriesError, match="channel `HULL` is not a finite number"):
        model.forecast(spoiled)


def gappy(raw: pd.DataFrame, first: int, last: int) -> pd.DataFrame:
    """The table with rows of OT missing from `first` to `last`, counted from the end."""
    spoiled = raw.copy()
    spoiled.loc[spoiled.index[-first] : spoiled.index[-last], "OT"] = np.nan
    return spoiled


def test_a_window_that_was_filled_in_is_marked_or_refused(
    model: TimeLLM, raw_series: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    """A window of filled rows gave a forecast with narrow intervals, without any warning."""
    saved = model.saved
    wanted = Wanted.for_forecast(saved.config.needed_channels)
    for gaps in ("interpolate", "drop_windows"):
        data = saved.config.trained_on.data.model_copy(update={"gaps": gaps})
        series, old = (read_series(gappy(raw_series, 100, last), data, wanted) for last in (1, 55))
        assert not model.forecast_panel(old, 1, (), 8)["window_filled"].any()
        as_a_table = model.forecast(gappy(raw_series, 100, 55), levels=(), gaps=gaps)
        pd.testing.assert_frame_equal(as_a_table, model.forecast_panel(old, 1, (), 64))
        if gaps == "interpolate":
            table = model.forecast_panel(series, 1, (), 8)
            assert set(table.loc[table["window_filled"], "channel"]) == {"OT"}, "other channels have all their rows"
            assert table.loc[table["channel"] == "OT", "window_filled"].all()
            assert "48 of 48 rows that are missing in the file" in caplog.text
            rolled = model.forecast_panel(old, 2, (), 8)
            marked = rolled[rolled["channel"] == "OT"].groupby("window_end")["window_filled"].first()
            assert marked.tolist() == [True, False]
        else:
            with pytest.raises(SeriesError, match="excludes such windows"):
                model.forecast_panel(series, 1, (), 8)


@pytest.mark.parametrize(("hours", "zone"), [(2, "+00:00"), (27, "")])
def test_rows_in_the_future_are_refused(model: TimeLLM, hours: int, zone: str) -> None:
    """The rows after them are not the next ones. Stamps without a zone may be ahead by the difference of two zones."""
    table = synthetic_series(num_rows=400, seed=1)
    now = pd.Timestamp.now("UTC").tz_localize(None) if zone else pd.Timestamp.now()
    shift = now.floor("h") - table["date"].iloc[-1]
    for ahead, refused in ((hours, True), (hours - 3, False)):
        moved = table.assign(date=[f"{date}{zone}" for date in table["date"] + shift + pd.Timedelta(hours=ahead)])
        if refused:
            with pytest.raises(SeriesError, match="in the future"):
                model.forecast(moved)
        else:
            assert len(model.forecast(moved)) == 7 * 12


def test_columns_that_the_model_does_not_know_are_ignored_and_reported(
    model: TimeLLM, raw_series: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    """People's tables have more columns than were trained on, and in another order."""
    caplog.set_level("INFO")
    wide = raw_series[raw_series.columns[::-1]].assign(weather="cloudy", holiday=0)
    pd.testing.assert_frame_equal(model.forecast(wide), model.forecast(raw_series))
    assert "weather" in caplog.text and "holiday" in caplog.text
