"""The test scores every indexed window once, beside the baselines on the same windows."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_inputs, small_parameters
from synthetic import synthetic_series
from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.alpha import Alpha
from timellm_pipeline.evaluation.baselines import naive, score, seasonal_naive
from timellm_pipeline.evaluation.report import (
    TestResult,
    describe_for,
    differences,
    evaluate_saved,
    refuse_other_windows,
    report_table,
    run_test,
)
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.prepare import TrainingData, WindowData
from timellm_pipeline.series.reading import RawFile
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.preparation import prepare_training

MODELS = ("timellm", "linear_part", "correction", "naive", "seasonal_naive", "linear")


class Setting:
    """An untrained model without a backbone, saved and loaded, and the data that it is tested on."""

    def __init__(self, raw: pd.DataFrame | RawFile, folder: Path, **groups: dict[str, Any]) -> None:
        self.parameters = small_parameters("none", **groups)
        self.data: TrainingData = make_inputs(raw, self.parameters)
        self.source = BackboneSource(folder / "cache")
        training = prepare_training(self.data, self.parameters, self.source, CheckpointStore(folder / "store"))
        facts = {"content_id": "c", "counts": {"trainable": 1}, "best_step": 7, "validation_mse": 0.5}
        config = training.model_config(**facts, alpha=Alpha(alpha=1, fitted=1))
        torch.manual_seed(0)
        network = TimeLLM(self.parameters.window, self.parameters.prompt, self.parameters.model, None).network
        weights = {name: weight.detach().clone() for name, weight in network.trainables().items()}
        TrainedModel(config, weights, self.data.scaler, training.linear).write(folder / "model")
        self.saved = SavedModel.read(folder / "model")
        self.model = TimeLLM.from_saved(self.saved, self.source, Compute())
        self.test = self.data.windows("test")

    def run(self) -> TestResult:
        """`run_test` on it."""
        return run_test(self.saved, self.model, self.data, self.parameters.evaluation)


Make = Callable[..., Setting]


@pytest.fixture
def make(raw_series: pd.DataFrame, tmp_path: Path) -> Make:
    """Makes a setting of the small series; groups override single parameters."""
    return lambda **groups: Setting(raw_series, tmp_path, **groups)


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_every_indexed_test_window_counts_once_whatever_the_batch(make: Make, batch_size: int) -> None:
    """Without it the last windows of the last channel, always the target's, could be dropped (defect D1)."""
    setting = make(evaluation={"batch_size": batch_size, "test_step": 23})
    metrics = setting.run().metrics
    x, y = setting.test.gather(np.arange(len(setting.test)))
    with torch.no_grad():
        forecasts = np.concatenate([setting.model(torch.from_numpy(x[n : n + 1])).numpy() for n in range(len(x))])
    assert metrics["num_windows"] == len(x) == setting.data.plan.test_windows == 7 * 3
    assert metrics["test_step"] == 23
    scaled = metrics["models"]["timellm"]["scaled"]
    assert scaled["mse"] == pytest.approx(((forecasts.astype(np.float64) - y) ** 2).mean(), rel=1e-5)
    assert scaled["mae"] == pytest.approx(np.abs(forecasts.astype(np.float64) - y).mean(), rel=1e-5)


def test_baselines_are_scored_on_the_same_windows(make: Make) -> None:
    """Without it the model could be compared with baselines on other, harder windows."""
    setting = make()
    metrics = setting.run().metrics
    assert tuple(metrics["models"]) == MODELS
    by_hand = {
        "naive": score(lambda x: naive(x, 12), setting.test),
        "seasonal_naive": score(lambda x: seasonal_naive(x, 12, 24), setting.test),
    }
    std = np.asarray(setting.data.scaler.std)
    for name, sums in by_hand.items():
        expected, found = sums.report(setting.test.names, std), metrics["models"][name]
        assert found["scaled"] == expected["scaled"]
        assert found["original"]["mse"] == expected["original"]["mse"]
        assert found["skill"] == pytest.approx(1 - expected["scaled"]["mse"] / by_hand["seasonal_naive"].mse)
    linear = metrics["models"]["linear"]["scaled"]
    assert linear["mse"] < metrics["models"]["naive"]["scaled"]["mse"]
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize(("season", "used"), [(None, 24), (7, 7)])
def test_season_is_the_frequencys_unless_it_is_set(make: Make, season: int | None, used: int) -> None:
    """Without it `evaluation.season` could be without effect."""
    setting = make(evaluation={"season": season})
    metrics = setting.run().metrics
    assert metrics["season"] == used
    expected = score(lambda x: seasonal_naive(x, 12, used), setting.test).mse
    assert metrics["models"]["seasonal_naive"]["scaled"]["mse"] == pytest.approx(expected, rel=1e-12)


def test_ms_is_tested_on_the_target_alone(make: Make) -> None:
    """Without it `features: MS` would report a mean over channels that are not forecast."""
    setting = make(window={"features": "MS"})
    result = setting.run()
    assert result.metrics["num_windows"] == len(setting.test) == setting.data.plan.test_windows
    for name in MODELS:
        assert list(result.metrics["models"][name]["original"]["per_channel"]) == ["OT"]


def test_examples_show_the_targets_own_rows_in_original_units(make: Make, raw_series: pd.DataFrame) -> None:
    """Without it a plot could show scaled values, or another channel, under the target's name."""
    examples = make().run().examples
    truths = raw_series.assign(date=pd.to_datetime(raw_series["date"])).set_index("date")["OT"]
    assert len(examples) == 4
    for example in examples:
        assert (example.channel, example.title) == ("OT", "")
        np.testing.assert_allclose(example.seen, truths[example.input_dates], atol=1e-4)
        np.testing.assert_allclose(example.truth, truths[example.horizon_dates], atol=1e-4)
        np.testing.assert_allclose(example.forecasts["seasonal naive"], example.seen[24:36], atol=1e-4)


def test_examples_of_many_series_are_the_last_windows_of_the_worst_the_median_and_the_best(tmp_path: Path) -> None:
    """A plot of the target alone would show one of 20,000 stores, which nobody chose."""
    rng, hours = np.random.default_rng(0), np.arange(400)
    noise = rng.permutation(np.linspace(0.1, 2, 21))
    wave = np.sin(2 * np.pi * hours / 24)
    columns = {f"store_{n}": 10 + (n + 1) * (wave + noise[n] * rng.normal(size=400)) for n in range(20)}
    dates = pd.date_range("2020-01-01", periods=400, freq="h").astype(str)
    raw = pd.DataFrame({"date": dates, **columns, "OT": np.where(hours < 300, 1.0, 2 + noise[20] * wave)})
    setting = Setting(raw, tmp_path)
    result = setting.run()
    table = result.series
    assert table["channel"].iloc[-1] == "OT" and pd.isna(table["mase"].iloc[-1]), "constant in training: no MASE"
    expected, last = [table.iloc[row] for row in (0, 10, 19)], setting.test.origins()[-1]
    assert [example.channel for example in result.examples] == [one["channel"] for one in expected]
    for role, one, example in zip(("worst", "median", "best"), expected, result.examples, strict=True):
        assert example.title == f"{role}: {one['channel']} (MASE {one['mase']:.3g})"
        rows = slice(last + 1, last + 13)
        assert example.horizon_dates.astype(str).tolist() == dates[rows].tolist()
        np.testing.assert_allclose(example.truth, raw[one["channel"]][rows], rtol=1e-4, atol=1e-4)


def test_examples_are_the_forecasts_of_the_test(make: Make) -> None:
    """They are forecast again after the test: with another alpha or scaler the plot would show another model."""
    setting = make()
    setting.model.alpha = 0.5
    for weight in setting.model.network.trainables().values():
        torch.nn.init.normal_(weight, std=0.3)  # an untrained correction is zero
    examples = setting.run().examples
    test, scaler = setting.test, setting.data.scaler
    parts = list(setting.model.forecast_parts(test, 5))
    which = np.concatenate([part.which for part in parts])
    forecasts = scaler.unscale(np.concatenate([part.forecast(0.5) for part in parts]), test.channel(which))
    numbers = test.segments.numbers_of(test.panel.number_of["OT"])
    origins = test.panel.stamps[test.origin(numbers)]
    for example in examples:
        number = numbers[origins.get_loc(example.input_dates[-1])]
        np.testing.assert_allclose(example.forecasts["forecast"], forecasts[number], rtol=1e-5)


def test_the_wape_of_the_test_is_that_of_the_series_weighted_by_volume(make: Make) -> None:
    """Without volumes nobody sees which of many series decide it."""
    result = make().run()
    assert result.series["volume"].sum() == pytest.approx(100)
    weighted = (result.series["volume"] * result.series["wape"]).sum() / 100
    assert weighted == pytest.approx(result.metrics["models"]["timellm"]["original"]["wape"])


def test_data_of_two_runs_is_refused(make: Make) -> None:
    """Without it a model would be scored with another run's scaler, in units that are not its own."""
    data = make().data
    other = data.scaler.model_copy(update={"data_id": "b" * 64})
    with pytest.raises(ModelError, match="not made from the same data.*scaler bbbbbbbbbbbb"):
        WindowData(data.scaled, other, data.index)
    with pytest.raises(ModelError, match="run_plan bbbbbbbbbbbb"):
        replace(data, plan=data.plan.model_copy(update={"data_id": "b" * 64}))


def test_report_table_shows_the_best_first_with_skill_and_significance(make: Make) -> None:
    """Without it a model that loses to the baseline could be listed first, or its sign be wrong."""
    metrics = make().run().metrics
    lines = [line.split() for line in report_table(metrics).splitlines()]
    order = [line[0] for line in lines[1:7]]
    assert order == sorted(MODELS, key=lambda name: metrics["models"][name]["scaled"]["mse"])
    for line in lines[1:7]:
        of = metrics["models"][line[0]]
        assert float(line[1]) == pytest.approx(of["scaled"]["mse"], rel=1e-3)
        assert line[7] == f"{of['skill']:+.1%}"
    seasonal = lines[1 + order.index("seasonal_naive")]
    difference = metrics["models"]["timellm"]["scaled"]["mse"] - metrics["models"]["seasonal_naive"]["scaled"]["mse"]
    assert float(seasonal[8].rstrip(",")) == pytest.approx(difference, abs=1e-4)
    found = metrics["differences"]["seasonal_naive"]
    assert (found["verdict"], found["low"]) == ("too few origins", None), "12 origins are six horizons"
    assert " ".join(seasonal[9:]) == "too few origins: 12, needs at least 32"


@pytest.mark.parametrize(("better", "verdict"), [(True, "better"), (False, "worse")])
def test_report_table_says_which_model_is_better(better: bool, verdict: str) -> None:
    """A significant difference alone does not say whose."""
    errors, advantage = np.random.default_rng(0).random(200), 0.5 if better else -0.5
    scores: dict[str, Any] = {
        "timellm": SimpleNamespace(origin_errors=lambda: (1 + errors - advantage, errors)),
        "naive": SimpleNamespace(origin_errors=lambda: (1 + errors, errors)),
    }
    found = differences(scores, 12)
    assert json.loads(json.dumps(found, allow_nan=False)) == found and found["naive"]["verdict"] == verdict
    scaled = dict.fromkeys(("mse", "mae", "rmse"), 1.0)
    original = dict.fromkeys(("mase", "smape", "wape"), 1.0)
    models = {name: {"scaled": scaled, "original": original, "skill": None} for name in scores}
    table = report_table({"models": models, "differences": found, "coverage": {}})
    assert f"{-advantage:+.4f} ({-advantage:+.4f} to {-advantage:+.4f}), {verdict}" in table


def test_errors_by_origin_are_those_of_the_complete_test(make: Make, raw_series: pd.DataFrame) -> None:
    """Without it the test of significance would compare something else than the table shows."""
    setting = make()
    result = setting.run()
    for name in MODELS:
        of_model = result.origins[result.origins["model"] == name]
        assert of_model["mse"].mean() == pytest.approx(result.metrics["models"][name]["scaled"]["mse"], rel=1e-6)
        assert of_model["mae"].mean() == pytest.approx(result.metrics["models"][name]["scaled"]["mae"], rel=1e-6)
    dates = pd.to_datetime(raw_series["date"])
    assert result.origins["window_end"].iloc[0] == dates.iloc[setting.test.origins()[0]]
    assert result.origins["window_end"].iloc[0] == dates.iloc[400 - 80 - 1], "the last row before the test"


def test_another_series_is_described_anew_and_reported(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Zero-shot means: that series' own scaler and description. A forgotten --env must not stay unnoticed."""
    setting = make()
    scaled, scaler = setting.data.scaled, setting.data.scaler
    config = setting.saved.config.model_copy(update={"description": "as trained", "frequency": "D"})
    saved = replace(setting.saved, config=config)
    assert describe_for(saved, scaled, scaler) == "as trained"
    assert not warnings_in(caplog)
    other = replace(saved, scaler=scaler.model_copy(update={"mean": [0.0] * len(scaler.channels)}))
    words = describe_for(other, scaled, scaler)
    assert words.startswith("An hourly series with 7 channels") and words in caplog.text
    assert "the training rows of this series differ from those of the model" in caplog.text
    assert "the frequency is h; in training it was D" in caplog.text


def test_a_loaded_model_is_scored_as_the_one_in_memory(make: Make) -> None:
    """`evaluate` and a notebook that calls `run_test` must report the same numbers."""
    setting = make()
    evaluation = setting.parameters.evaluation
    loaded = evaluate_saved(setting.saved, setting.source, setting.parameters.backbone, setting.data, evaluation)
    assert loaded.metrics == setting.run().metrics


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        ({"window": {"seq_len": 44}}, "seq_len: 44 in the window index, 48 in the model"),
        ({"window": {"pred_len": 6}}, "pred_len: 6 in the window index, 12 in the model"),
        ({"window": {"features": "MS"}}, "features: MS in the window index, M in the model"),
        ({"window": {"target": "HUFL"}}, "target: HUFL in the window index, OT in the model"),
        ({"split": {"test_ratio": 0.1}}, "split.test_ratio: 0.1 in the window index, 0.2 in the model"),
    ],
)
def test_windows_that_were_not_made_as_the_models_are_refused(
    make: Make, raw_series: pd.DataFrame, groups: dict[str, Any], named: str
) -> None:
    """Errors on other windows, or on rows of the model's own training, cannot be compared with its test."""
    setting = make()
    other = make_inputs(raw_series, small_parameters("none", **groups))
    with pytest.raises(ModelError, match="not built with the parameters of the model") as caught:
        refuse_other_windows(setting.saved, other)
    assert named in caught.value.what and "kedro run --pipeline evaluate" in caught.value.do
    refuse_other_windows(setting.saved, setting.data)


def csv(rows: slice) -> RawFile:
    """Rows of one series as a file."""
    text = synthetic_series(num_rows=400, seed=1).iloc[rows].to_csv(index=False, lineterminator="\n")
    return RawFile(f"rows {rows.start} to {rows.stop}.csv", text.encode())


def test_rows_of_the_training_file_that_the_model_has_seen_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read without its last rows, the same file moves its test into the rows of training. No backbone is loaded."""
    setting = Setting(csv(slice(0, 400)), tmp_path)
    parameters = small_parameters("none", data={"csv": {"skipfooter": 100}})
    shorter = make_inputs(csv(slice(0, 400)), parameters)
    assert shorter.scaled.num_rows == 300

    def loaded(*args: Any) -> None:
        raise AssertionError("the model was loaded first")

    monkeypatch.setattr(TimeLLM, "from_saved", loaded)
    with pytest.raises(
        ModelError, match="was trained or chosen on rows of this test: the test starts at 2020-01-11 00:00:00"
    ) as caught:
        evaluate_saved(setting.saved, setting.source, parameters.backbone, shorter, parameters.evaluation)
    assert setting.saved.config.seen_until in caught.value.what
    assert caught.value.where == "rows 0 to 400.csv" and "the split of the model" in caught.value.do


def test_rows_of_another_file_from_the_time_of_training_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They may be of another series, which is fine, or the same rows under another name, which is not."""
    setting = Setting(csv(slice(0, 400)), tmp_path)
    refuse_other_windows(setting.saved, make_inputs(csv(slice(80, 400)), setting.parameters))
    assert not warnings_in(caplog), "its test begins after everything that the model has seen"
    older = make_inputs(csv(slice(0, 300)), setting.parameters)
    refuse_other_windows(setting.saved, older)
    assert "the test starts at 2020-01-11 00:00:00" in caplog.text and "the errors are too small" in caplog.text


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings so far."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_first_row_after_the_seen_ones_may_be_tested(tmp_path: Path) -> None:
    """Off by one in either direction, every test would be refused, or one seen row would be scored."""
    setting = Setting(csv(slice(0, 400)), tmp_path)
    first_truth = setting.data.scaled.stamps[setting.test.origins()[0] + 1]
    for seen_until, refused in ((first_truth, True), (first_truth - pd.Timedelta("1h"), False)):
        config = setting.saved.config.model_copy(update={"seen_until": str(seen_until)})
        saved = replace(setting.saved, config=config)
        if refused:
            with pytest.raises(ModelError, match="was trained or chosen on rows"):
                refuse_other_windows(saved, setting.data)
        else:
            refuse_other_windows(saved, setting.data)


@pytest.mark.parametrize(
    ("seen", "stamp", "expected"),
    [
        ("2020-01-01 12:00:00+02:00", "2020-01-01 11:00:00+00:00", False),  # 10:00 and 11:00 UTC
        ("2020-01-01 12:00:00+02:00", "2020-01-01 10:00:00+00:00", True),
        ("2020-01-01 12:00:00-05:00", "2020-01-01 13:00:00+00:00", True),  # 17:00 and 13:00 UTC
        ("2020-01-01 12:00:00-05:00", "2020-01-01 13:00:00", False),  # an unknown zone: wall time
        ("2020-01-01 12:00:00", "2020-01-01 12:00:00+09:00", True),
    ],
)
def test_seen_rows_are_compared_in_utc_if_both_zones_are_known(
    tmp_path: Path, seen: str, stamp: str, expected: bool
) -> None:
    """Wall time of two zones would let seen rows into the test, or refuse new ones."""
    config = Setting(csv(slice(0, 400)), tmp_path).saved.config.model_copy(update={"seen_until": seen})
    assert config.has_seen(pd.Timestamp(stamp)) is expected


def test_the_newest_seen_row_is_recorded_with_the_zone_of_the_file(raw_series: pd.DataFrame, tmp_path: Path) -> None:
    """Without the zone it could not be compared with a file in another one."""
    setting = Setting(raw_series.assign(date=raw_series["date"] + "+02:00"), tmp_path)
    assert setting.saved.config.seen_until.endswith("+02:00")
    refuse_other_windows(setting.saved, setting.data)


def test_test_step_is_that_of_the_index_not_of_the_parameters(make: Make) -> None:
    """`--nodes evaluate.evaluate` with another test_step would report a step that the windows do not have."""
    setting = make(evaluation={"test_step": 23})
    other = setting.parameters.evaluation.model_copy(update={"test_step": 1})
    metrics = run_test(setting.saved, setting.model, setting.data, other).metrics
    assert metrics["test_step"] == 23 and metrics == setting.run().metrics
