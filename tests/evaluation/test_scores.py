"""MASE, sMAPE and WAPE are those of the textbook, and the errors of an origin are those of its windows."""

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.evaluation.scores import TestScores, season_errors
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.scaling import Scaler
from timellm_pipeline.series.segments import Segments
from timellm_pipeline.series.windows import Windows


@pytest.fixture
def test_windows() -> Windows:
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=40).astype(np.float32) for name in ("a", "b")}
    panel = Panel.from_columns(columns, start=pd.Timestamp("2020-01-01"), frequency="h")
    segments = Segments(np.array([0, 1]), np.array([0, 0]), np.array([3, 2]), np.array([3, 3]))
    return Windows(panel, segments, seq_len=8, pred_len=4)


def test_scores_are_those_of_the_textbook(test_windows: Windows) -> None:
    """A percentage of scaled values would be meaningless, and MASE by the wrong scale would pass every gate."""
    scaler = Scaler(data_id="x", channels=["a", "b"], mean=[10.0, -2.0], std=[2.0, 5.0], rows=(0, 20))
    scores = TestScores(test_windows, scaler)
    rng = np.random.default_rng(1)
    forecast = rng.normal(size=(5, 4)).astype(np.float32)
    _, truth = test_windows.gather(np.arange(5))
    for which in (np.array([4, 0]), np.array([1, 2, 3])):
        scores.add(which, forecast[which], truth[which])
    channel = test_windows.channel(np.arange(5))
    assert channel.tolist() == [0, 0, 0, 1, 1]
    f, y = (
        np.array(scaler.std)[channel, None] * part + np.array(scaler.mean)[channel, None] for part in (forecast, truth)
    )
    season = np.array([0.5, 0.25])
    report = scores.report(season)["original"]
    off = np.abs(f - y)
    assert report["mae"] == pytest.approx(off.mean(), rel=1e-5)
    assert report["smape"] == pytest.approx((200 * off / (np.abs(f) + np.abs(y))).mean(), rel=1e-5)
    assert report["wape"] == pytest.approx(100 * off.sum() / np.abs(y).sum(), rel=1e-5)
    by_channel = [off[channel == number].mean() / (season * scaler.std)[number] for number in (0, 1)]
    assert report["mase"] == pytest.approx((3 * by_channel[0] + 2 * by_channel[1]) / 5, rel=1e-5)
    assert report["per_channel"]["b"]["mase"] == pytest.approx(by_channel[1], rel=1e-5)
    mse, mae = scores.origin_errors()
    error = forecast.astype(np.float64) - truth
    assert mse == pytest.approx([(error[[0, 3]] ** 2).mean(), (error[[1, 4]] ** 2).mean(), (error[2] ** 2).mean()])
    assert mae[2] == pytest.approx(np.abs(error[2]).mean())


def test_the_scale_of_mase_is_seasonal_naive_in_training_rows() -> None:
    """Taken over test rows it would move with what is tested."""
    values = np.tile([0.0, 1.0, 5.0], 8) + np.repeat(np.arange(8), 3)
    panel = Panel.from_columns({"a": values}, start=pd.Timestamp("2020-01-01"), frequency="D")
    assert season_errors(panel, (0, 12), 3) == pytest.approx([1.0])
    assert season_errors(panel, (0, 12), 1) == pytest.approx([np.abs(np.diff(values[:12])).mean()])


def test_season_errors_of_many_series_are_those_of_each_alone() -> None:
    """Equally long series are averaged at once. Other last bits would be another MASE than that of earlier versions."""
    rng = np.random.default_rng(0)
    lengths = np.repeat([1, 2, 9, 300, 301, 400], 5)
    first = rng.integers(0, 150, len(lengths))
    first[-1] = 290  # begins after the rows
    panel = Panel(
        ids=tuple(f"s{number}" for number in range(len(lengths))),
        values=rng.normal(size=lengths.sum()).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        first=first,
        start=pd.Timestamp("2020-01-01"),
        frequency="D",
    )
    found = season_errors(panel, (40, 280), 7)
    for number in range(len(lengths)):
        values = panel.series(number)[panel.rows_inside(number, (40, 280))].astype(np.float64)
        lag = min(7, len(values) - 1)
        alone = np.abs(values[lag:] - values[:-lag]).mean() if lag > 0 else np.nan
        np.testing.assert_array_equal(found[number], alone)
    assert np.isnan(found[-1]) and np.isfinite(found).sum() > 15
