"""Gaps are an error, filled in, or left out: never passed over."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from conftest import check, make_inputs, small_parameters
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.gaps import stretches
from timellm_pipeline.series.windows import Windows, windows_between


def broken(raw: pd.DataFrame) -> pd.DataFrame:
    """Rows 100 to 102 are missing, and a cell of row 200 is empty."""
    frame = raw.drop(index=[100, 101, 102]).reset_index(drop=True)
    frame.loc[197, "OT"] = np.nan
    return frame


def test_by_default_a_gap_stops(raw_series: pd.DataFrame) -> None:
    """A gap that passes for a longer step puts every later row out of season."""
    frame = raw_series.drop(index=[100, 101, 102]).reset_index(drop=True)
    with pytest.raises(SeriesError, match="1 irregular steps") as caught:
        check(frame, DataParams())
    assert ", line 102" in caught.value.where


def test_interpolation_fills_along_time_and_says_so(raw_series: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    """What is made up must be countable."""
    series = check(broken(raw_series), DataParams(gaps="interpolate"))
    assert series.num_rows == 400 and series.source.num_rows == 397 and np.isfinite(series.values).all()
    before, after = raw_series["HUFL"].iloc[99], raw_series["HUFL"].iloc[103]
    values = series.series(series.number_of["HUFL"])
    np.testing.assert_allclose(values[100:103], before + (after - before) * np.arange(1, 4) / 4)
    assert values[200] == raw_series["HUFL"].iloc[200]
    assert series.filled_spans(series.number_of["HUFL"]).tolist() == [[100, 102]]
    assert series.filled_spans(series.number_of["OT"]).tolist() == [[100, 102], [200, 200]]
    assert series.filled_share() == 4 / 400
    assert "3 missing time stamps and 1 rows with empty cells" in caplog.text
    assert not series.drop_filled


def test_no_window_touches_a_gap(raw_series: pd.DataFrame) -> None:
    """Made-up values must neither be learned nor tested on."""
    parameters = small_parameters(data={"gaps": "drop_windows"}, window={"window_step": 1})
    whole = make_inputs(raw_series, small_parameters(window={"window_step": 1}))
    inputs = make_inputs(broken(raw_series), parameters)
    window, length = parameters.window, parameters.window.seq_len + parameters.window.pred_len
    for split in ("train", "validation", "test"):
        assert_untouched(inputs.windows(split), length)
    lost = len(whole.windows("train")) - len(inputs.windows("train"))
    assert lost == 7 * (60 + 2) + 60, "a gap takes the windows of its channel that begin up to 59 rows before it"
    assert (
        inputs.plan.data_id
        != make_inputs(broken(raw_series), small_parameters(data={"gaps": "interpolate"})).plan.data_id
    )
    first, last = inputs.scaler.rows
    assert_untouched(windows_between(inputs.scaled, (first, last - length + 1), 1, window), length)


def assert_untouched(windows: Windows, length: int) -> None:
    """No window holds a row of its own channel that was filled in."""
    channel, start = windows.segments.locate(np.arange(len(windows)))
    rows = start[:, None] + np.arange(length)
    assert not np.isin(rows, [100, 101, 102]).any()
    assert not np.isin(rows[channel == windows.panel.number_of["OT"]], [200]).any()


def test_a_series_that_would_be_made_up_is_refused(raw_series: pd.DataFrame) -> None:
    """Interpolation over years is fiction."""
    frame = raw_series.iloc[[*range(50), *range(350, 400)]].reset_index(drop=True)
    with pytest.raises(SeriesError, match=r"300 of 400 time stamps are missing"):
        check(frame, DataParams(gaps="interpolate"))
    with pytest.raises(SeriesError, match=r"every train window of the channels .* contains a gap"):
        spoiled = raw_series.copy()
        spoiled.loc[::20, spoiled.columns[1:]] = np.nan
        make_inputs(spoiled, small_parameters(data={"gaps": "drop_windows"}, split={"train_percent": 100}))


def test_a_stamp_between_two_steps_is_no_gap(raw_series: pd.DataFrame) -> None:
    """Half past the hour in an hourly series is a mistake, not something missing."""
    frame = raw_series.copy()
    frame.loc[50, "date"] = "2020-01-03 02:30:00"
    with pytest.raises(SeriesError, match="irregular steps"):
        check(frame, DataParams(gaps="interpolate"))


def test_a_month_that_is_missing_is_filled_by_the_calendar() -> None:
    """A month is not 30 days."""
    dates = pd.date_range("2000-01-01", periods=60, freq="MS")
    frame = pd.DataFrame({"date": dates.astype(str), "OT": np.arange(60.0)}).drop(index=[20]).reset_index(drop=True)
    series = check(frame, DataParams(gaps="interpolate"))
    assert series.stamps.tolist() == dates.tolist() and series.values[20] == pytest.approx(20, abs=0.05)


def test_stretches_are_first_and_last_rows() -> None:
    """Off by one, a window would touch a gap by one row."""
    marked = np.array([True, True, False, True, False, False, True])
    assert stretches(marked) == [(0, 1), (3, 3), (6, 6)]
    assert stretches(np.zeros(4, dtype=bool)) == []


def test_the_share_of_filled_rows_is_of_the_rows_of_a_range(raw_series: pd.DataFrame) -> None:
    """A gap of yesterday is nothing in a share of years; a series that starts late has fewer rows in a range."""
    series = check(raw_series, DataParams())
    late = replace(series, first=series.first + 5, filled=np.array([[0, 10, 19]]))
    assert late.filled_share((15, 25)) == 1.0 and late.filled_share((0, 15)) == 0.0
    assert late.filled_share((20, 30)) == 0.5 and late.filled_share() == 10 / 400
    assert series.filled_share((0, 10)) == 0.0
