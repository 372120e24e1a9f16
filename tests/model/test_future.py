"""A trained model forecasts what comes after a table, with time stamps, in the table's own units."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import ModelError, SeriesError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.future import forecast_series
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.synthetic import synthetic_series
from timellm_pipeline.series.validation import validate_series
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


def test_a_forecast_goes_on_from_the_last_row_in_original_units(model: TimeLLM, raw_series: pd.DataFrame) -> None:
    """Shifted by a row, or left in scaled units, a forecast still looks like one."""
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
        alone = model(torch.from_numpy(window.astype(np.float32))[None])[0].numpy()
    np.testing.assert_allclose(of_target["forecast"], alone * scaler.std[number] + scaler.mean[number], rtol=1e-5)
    assert (table["lower_95"] <= table["lower_80"]).all() and (table["lower_80"] <= table["forecast"]).all()
    assert (table["upper_80"] <= table["upper_95"]).all()


def test_rolling_origins_are_what_was_forecast_then(model: TimeLLM, raw_series: pd.DataFrame) -> None:
    """A backtest that sees a row of what it forecasts is worth nothing."""
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
    with pytest.raises(SeriesError, match="stands twice for channel"):
        model.forecast(pd.concat([long, long.iloc[:1]]))


def test_tables_that_do_not_fit_are_one_clear_error_each(model: TimeLLM, raw_series: pd.DataFrame) -> None:
    """Each of them would give a forecast that means nothing."""
    with pytest.raises(SeriesError, match=r"40 rows are too few: the model sees 48"):
        model.forecast(raw_series.iloc[:40])
    with pytest.raises(SeriesError, match=r"3 origins 12 rows apart need 72") as caught:
        model.forecast(raw_series.iloc[:60], origins=3)
    assert "forecast.origins" in caught.value.do
    with pytest.raises(SeriesError, match=r"\['HULL'\] are not here"):
        model.forecast(raw_series.drop(columns="HULL"))
    with pytest.raises(SeriesError, match="trained on steps of h; the steps here are 2h"):
        model.forecast(raw_series.iloc[::2])


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


def test_calendar_frequencies_go_on_by_the_calendar(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A month is not 30 days."""
    raw = synthetic_series(num_rows=240, seed=2)
    raw["date"] = pd.date_range("2000-01-01", periods=240, freq="MS").astype(str)
    raw.attrs = {"path": "months.csv", "sha256": "0" * 64}
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
    """The series checked as `data.gaps` says, with rows of OT missing from `first` to `last`, counted from the end."""
    spoiled = raw.copy()
    spoiled.loc[spoiled.index[-first] : spoiled.index[-last], "OT"] = np.nan
    return spoiled


def test_a_window_that_was_filled_in_is_marked_or_refused(
    model: TimeLLM, raw_series: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    """From a window of invented rows came a forecast with narrow intervals, and not a word."""
    saved = model.saved
    for gaps in ("interpolate", "drop_windows"):
        data = saved.config.data.model_copy(update={"gaps": gaps})
        series = validate_series(gappy(raw_series, 100, 1), data, saved.config.window)
        old = validate_series(gappy(raw_series, 100, 55), data, saved.config.window)
        assert not forecast_series(model, saved, old, 1, (), 8)["window_filled"].any()
        if gaps == "interpolate":
            assert forecast_series(model, saved, series, 1, (), 8)["window_filled"].all()
            assert "holds 48 of 48 rows that are missing in the file" in caplog.text
            marked = forecast_series(model, saved, old, 2, (), 8).groupby("window_end")["window_filled"].first()
            assert marked.tolist() == [True, False]
        else:
            with pytest.raises(SeriesError, match="uses no such window"):
                forecast_series(model, saved, series, 1, (), 8)


@pytest.mark.parametrize(("hours", "zone"), [(2, "+00:00"), (27, "")])
def test_rows_in_the_future_are_refused(model: TimeLLM, hours: int, zone: str) -> None:
    """What follows them is not what comes next. Stamps without a zone may be ahead by what zones differ."""
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
