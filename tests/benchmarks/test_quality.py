"""The benchmark of forecast quality: its ratios agree with the paired test, and its exit status with its goals."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import quality
import suite
from quality_ets import ets_errors
from quality_scores import LINEAR, Measured, measure, mse, ratio
from suite_entries import Entry
from timellm_pipeline.evaluation.report import baseline_forecasts, score_test
from timellm_pipeline.evaluation.significance import compare_origins
from timellm_pipeline.series.prepare import prepare


def errors_of(seed: int, mean: float, origins: int = 400) -> np.ndarray:
    """Positive errors [2, origins] around a mean."""
    return mean * np.random.default_rng(seed).lognormal(0, 0.3, size=(2, origins))


@pytest.fixture
def one_series(raw_series: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The suite with one series of 400 hours."""
    entry = Entry("small", "", "", "h", 48, 4, "OT", "", lambda: raw_series)
    monkeypatch.setattr(suite, "BY_NAME", {"small": entry})
    monkeypatch.setattr(suite, "DEVELOPMENT", ("small",))
    monkeypatch.setattr(suite, "load", lambda name: raw_series)
    monkeypatch.setattr(quality, "find_ets", lambda: None)
    return entry


def measured_of(entry: Entry, raw: pd.DataFrame) -> Measured:
    window = {"seq_len": entry.seq_len, "pred_len": entry.pred_len, "target": entry.target}
    parameters = quality.parameters_of(options_of(), "ratio", window)[0]
    return measure(prepare(raw, parameters), parameters)


def options_of(**changed: Any) -> Any:
    return type(
        "Options", (), {"steps": 3, "backbone": "none", "layers": 2, "seeds": 1, "validation_step": 1, **changed}
    )


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["quality.py", *words])
    return quality.main()


@pytest.mark.parametrize("limit", [0.9, 1.0, 1.03, 1.1])
def test_limits_of_a_ratio_agree_with_the_paired_test(limit: float) -> None:
    """Without it a goal could be missed by a difference that the report calls not significant."""
    for seed in range(20):
        ours, theirs = errors_of(seed, 1.05), errors_of(seed + 100, 1.0)
        found = ratio(ours, theirs, block=4)
        assert found.low is not None and found.high is not None and found.low < found.value < found.high
        verdict = compare_origins(ours[0], limit * theirs[0], 4).verdict
        assert verdict == ("worse" if found.low > limit else "better" if found.high < limit else "not significant")


def test_ratio_of_equal_and_of_few_errors() -> None:
    """Without it rounding or a short test could give limits that mean nothing."""
    errors = errors_of(0, 1.0)
    same = ratio(errors, errors, block=4)
    assert (same.value, same.low, same.high) == pytest.approx((1.0, 1.0, 1.0))
    assert ratio(errors, errors, block=100).low is None


def test_errors_are_those_of_the_report(one_series: Entry, raw_series: pd.DataFrame) -> None:
    """Without it the benchmark could score other windows, or the map of another channel."""
    measured = measured_of(one_series, raw_series)
    data, test = measured.data, measured.data.windows("test")
    forecasts = baseline_forecasts(
        data, quality.parameters_of(options_of(), "ratio", {"seq_len": 48, "pred_len": 4, "target": "OT"})[0].window, 24
    )
    assert mse(measured.errors["naive"]) == pytest.approx(score_test(forecasts["naive"], test, data.scaler).sums.mse)
    x, y = test.gather(np.arange(len(test)))
    own = measured.linear.numbers(test.names)[test.channel(np.arange(len(test)))]
    assert mse(measured.errors[LINEAR]) == pytest.approx(np.mean((measured.linear.forecast(x, own) - y) ** 2))


def test_ets_sees_rows_until_each_origin(one_series: Entry, raw_series: pd.DataFrame) -> None:
    """Without it a forecast could start one row early or late, or be in other units."""

    class LastValue:
        """The interface of AutoETS, as a naive forecast."""

        def __init__(self, season_length: int) -> None:
            assert season_length == 24

        def fit(self, y: np.ndarray) -> "LastValue":
            assert len(y) == 280
            return self

        def forward(self, y: np.ndarray, h: int) -> dict[str, np.ndarray]:
            return {"mean": np.repeat(y[-1], h)}

    measured = measured_of(one_series, raw_series)
    found = ets_errors(measured, LastValue)
    np.testing.assert_allclose(found, measured.errors["naive"][:, ::4], rtol=1e-4)


@pytest.mark.parametrize("words", [(), ("--train", "--backbone", "none", "--steps", "3")])
def test_suite_prints_a_row_and_the_goals(
    words: tuple[str, ...], one_series: Entry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it the suite, which is measured once, could fail when it is."""
    status = run(monkeypatch, "--suite", "--list", "development", *words)
    shown = capsys.readouterr().out
    assert "small" in shown and "geometric mean" in shown
    assert status == int("MISSED" in shown)


def test_a_missed_goal_is_a_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it a script would go on after a worse forecast."""
    for value, status, word in (
        (0.36, 1, "MISSED"),
        (0.35, 0, "met"),
        (None, 0, "not measured"),
        (np.nan, 1, "MISSED"),
    ):
        goal = quality.Goal("a", 0.358, value)
        monkeypatch.setattr(quality, "on_suite", lambda options, goal=goal: [goal])
        assert run(monkeypatch, "--suite") == status
        assert word in capsys.readouterr().out


def test_missing_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a wrong path ends in a traceback."""
    with pytest.raises(SystemExit, match=r"^error: cannot read .*absent\.csv: No such file or directory$"):
        run(monkeypatch, "--csv", str(tmp_path / "absent.csv"))
