"""The test scores every indexed window once, beside the baselines on the same windows."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import ModelError
from timellm_pipeline.evaluation.baselines import naive, score, seasonal_naive
from timellm_pipeline.evaluation.report import report_table, run_test, words_for
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.series.windows import windows_of

MODELS = ("timellm", "naive", "seasonal_naive", "linear")


class Setting:
    """An untrained model without a backbone, and the data that it is tested on."""

    def __init__(self, raw: pd.DataFrame, **groups: dict[str, Any]) -> None:
        self.parameters = small_parameters("none", **groups)
        self.inputs = make_inputs(raw, self.parameters)
        window = self.parameters.window
        torch.manual_seed(0)
        self.model = TimeLLM(window, self.parameters.prompt, self.parameters.model, None)
        channels = self.inputs.scaler.channels
        config = SimpleNamespace(channels=channels, window=window, training_id="an id", best_step=7)
        self.saved: Any = SimpleNamespace(
            config=config, folder=Path("a model"), scaler=self.inputs.scaler, intervals=lambda: None
        )
        self.test = windows_of(self.inputs.scaled_series, self.inputs.window_index, "test", window)

    def run(self, **changed: Any) -> Any:
        """`run_test` on it."""
        arguments = {
            "saved": self.saved,
            "scaled_series": self.inputs.scaled_series,
            "scaler": self.inputs.scaler,
            "window_index": self.inputs.window_index,
            "evaluation": self.parameters.evaluation,
            **changed,
        }
        return run_test(model=self.model, compute=Compute(torch.device("cpu"), "no"), **arguments)


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_every_indexed_test_window_counts_once_whatever_the_batch(raw_series: pd.DataFrame, batch_size: int) -> None:
    """Without it the last windows of the last channel, always the target's, could be dropped (defect D1)."""
    setting = Setting(raw_series, evaluation={"batch_size": batch_size, "test_step": 23})
    metrics = setting.run().metrics
    x, y = setting.test.gather(np.arange(len(setting.test)))
    with torch.no_grad():
        forecasts = np.concatenate(
            [setting.model.eval()(torch.from_numpy(x[n : n + 1])).numpy() for n in range(len(x))]
        )
    assert metrics["num_windows"] == len(x) == setting.inputs.plan.test_windows == 7 * 3
    assert metrics["test_step"] == 23
    scaled = metrics["models"]["timellm"]["scaled"]
    assert scaled["mse"] == pytest.approx(((forecasts.astype(np.float64) - y) ** 2).mean(), rel=1e-5)
    assert scaled["mae"] == pytest.approx(np.abs(forecasts.astype(np.float64) - y).mean(), rel=1e-5)


def test_baselines_are_scored_on_the_same_windows(raw_series: pd.DataFrame) -> None:
    """Without it the model could be compared with rivals on other, harder windows."""
    setting = Setting(raw_series)
    metrics = setting.run().metrics
    assert tuple(metrics["models"]) == MODELS
    by_hand = {
        "naive": score(lambda x: naive(x, 12), setting.test),
        "seasonal_naive": score(lambda x: seasonal_naive(x, 12, 24), setting.test),
    }
    std = np.asarray(setting.inputs.scaler.std)
    for name, sums in by_hand.items():
        expected, found = sums.report(setting.test.names, std), metrics["models"][name]
        assert found["scaled"] == expected["scaled"]
        assert found["original"]["mse"] == expected["original"]["mse"]
        assert found["skill"] == pytest.approx(1 - expected["scaled"]["mse"] / by_hand["seasonal_naive"].mse)
    linear = metrics["models"]["linear"]["scaled"]
    assert linear["mse"] < metrics["models"]["naive"]["scaled"]["mse"]
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize(("season", "used"), [(None, 24), (7, 7)])
def test_season_is_the_frequencys_unless_it_is_set(raw_series: pd.DataFrame, season: int | None, used: int) -> None:
    """Without it `evaluation.season` could be read by nobody."""
    setting = Setting(raw_series, evaluation={"season": season})
    metrics = setting.run().metrics
    assert metrics["season"] == used
    expected = score(lambda x: seasonal_naive(x, 12, used), setting.test).mse
    assert metrics["models"]["seasonal_naive"]["scaled"]["mse"] == pytest.approx(expected, rel=1e-12)


def test_ms_is_tested_on_the_target_alone(raw_series: pd.DataFrame) -> None:
    """Without it `features: MS` would report a mean over channels that nobody asked about."""
    setting = Setting(raw_series, window={"features": "MS"})
    result = setting.run()
    assert result.metrics["num_windows"] == len(setting.test) == setting.inputs.plan.test_windows
    for name in MODELS:
        assert list(result.metrics["models"][name]["original"]["per_channel"]) == ["OT"]


def test_examples_show_the_targets_own_rows_in_original_units(raw_series: pd.DataFrame) -> None:
    """Without it a picture could show scaled values, or another channel, under the target's name."""
    examples = Setting(raw_series).run().examples
    truths = raw_series.assign(date=pd.to_datetime(raw_series["date"])).set_index("date")["OT"]
    assert len(examples) == 4
    for example in examples:
        assert example.channel == "OT"
        np.testing.assert_allclose(example.seen, truths[example.input_dates], atol=1e-4)
        np.testing.assert_allclose(example.truth, truths[example.horizon_dates], atol=1e-4)
        np.testing.assert_allclose(example.forecasts["seasonal naive"], example.seen[24:36], atol=1e-4)


def test_data_of_two_runs_is_refused(raw_series: pd.DataFrame) -> None:
    """Without it a model would be scored with another run's scaler, in units that are not its own."""
    setting = Setting(raw_series)
    with pytest.raises(ModelError, match="not made from the same data"):
        setting.run(scaler=setting.inputs.scaler.model_copy(update={"data_id": "b" * 64}))


def test_report_table_shows_the_best_first_with_skill_and_noise(raw_series: pd.DataFrame) -> None:
    """Without it a model that loses to the baseline could stand on top, or its sign be turned."""
    metrics = Setting(raw_series).run().metrics
    lines = [line.split() for line in report_table(metrics).splitlines()]
    order = [line[0] for line in lines[1:5]]
    assert order == sorted(MODELS, key=lambda name: metrics["models"][name]["scaled"]["mse"])
    for line in lines[1:5]:
        of = metrics["models"][line[0]]
        assert float(line[1]) == pytest.approx(of["scaled"]["mse"], rel=1e-3)
        assert line[7] == f"{of['skill']:+.1%}"
    seasonal = lines[1 + order.index("seasonal_naive")]
    difference = metrics["models"]["timellm"]["scaled"]["mse"] - metrics["models"]["seasonal_naive"]["scaled"]["mse"]
    assert float(seasonal[8]) == pytest.approx(difference, abs=1e-4)


def test_errors_by_origin_are_those_of_the_whole_test(raw_series: pd.DataFrame) -> None:
    """Without it the bootstrap would compare something else than the table shows."""
    setting = Setting(raw_series)
    result = setting.run()
    for name in MODELS:
        of_model = result.origins[result.origins["model"] == name]
        assert of_model["mse"].mean() == pytest.approx(result.metrics["models"][name]["scaled"]["mse"], rel=1e-6)
        assert of_model["mae"].mean() == pytest.approx(result.metrics["models"][name]["scaled"]["mae"], rel=1e-6)
    dates = pd.to_datetime(raw_series["date"])
    first = setting.test.start.min() + setting.test.seq_len - 1
    assert result.origins["window_end"].iloc[0] == dates.iloc[first]


def test_another_series_is_described_anew_and_said(raw_series: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    """Zero-shot means: that series' own scaler and words. A forgotten --env must not pass for it unseen."""
    setting = Setting(raw_series)
    scaler = setting.inputs.scaler
    config = SimpleNamespace(description="as trained", prompt=setting.parameters.prompt, frequency="D")
    saved: Any = SimpleNamespace(config=config, scaler=scaler)
    assert words_for(saved, setting.inputs.scaled_series, scaler) == "as trained"
    assert not caplog.text
    saved.scaler = scaler.model_copy(update={"mean": [0.0] * len(scaler.channels)})
    words = words_for(saved, setting.inputs.scaled_series, scaler)
    assert words.startswith("An hourly series with 7 channels") and words in caplog.text
    assert "not the series that the model was trained on" in caplog.text
    assert "its steps are h; in training they were D" in caplog.text
