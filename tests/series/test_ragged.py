"""Ragged panels: windows, scales and forecasts of series that start and end at different times."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_long_table import read, sales

from conftest import small_parameters
from timellm_pipeline.errors import ParameterError, SeriesError
from timellm_pipeline.parameters import SplitParams, WindowParams, parse_parameters
from timellm_pipeline.series.borders import split_borders
from timellm_pipeline.series.prepare import Prepared, prepare
from timellm_pipeline.series.segments import segments_of

DATES = {"method": "dates", "validation_from": "2020-07-01", "test_from": "2020-08-01"}


def prepared(table: pd.DataFrame, **groups: Any) -> Prepared:
    return prepare(table, small_parameters(split=DATES, **groups))


def test_every_window_lies_in_its_own_series_and_in_its_split() -> None:
    """A window across two series would be learned without an error."""
    made = prepared(sales(), window={"window_step": 1}, evaluation={"validation_step": 1, "test_step": 1})
    panel = made.training.scaled
    cut = {name: int(panel.stamps.get_loc(DATES[name])) for name in ("validation_from", "test_from")}
    first_truth = {"train": (0, cut["validation_from"]), "validation": tuple(cut.values())}
    first_truth["test"] = (cut["test_from"], panel.num_rows)
    for split, (low, high) in first_truth.items():
        windows = made.training.windows(split)
        which = np.arange(len(windows))
        number, origin = windows.channel(which), windows.origin(which)
        last = origin + windows.pred_len
        assert (origin + 1 >= low).all() and (last < high).all()
        assert (origin - windows.seq_len + 1 >= panel.first[number]).all()
        assert (last < panel.first[number] + panel.lengths[number]).all()
        x, y = windows.gather(which)
        for row in (0, len(windows) // 2, -1):
            start = int(origin[row] - windows.seq_len + 1 - panel.first[number[row]])
            values = panel.series(int(number[row]))[start : start + windows.seq_len + windows.pred_len]
            assert np.array_equal(np.concatenate([x[row], y[row]]), values)


def test_series_without_a_window_are_left_out_and_listed(caplog: pytest.LogCaptureFixture) -> None:
    """A new store has no training window; the others train."""
    table = sales()
    new = pd.DataFrame({"date": pd.date_range("2020-06-20", periods=100).astype(str), "store": "new", "sales": 1.0})
    new["sales"] = np.arange(100) % 7
    made = prepared(pd.concat([table, new]))
    assert "1 of 4 series have no train window, because they have too few rows there: `new`" in caplog.text
    number = made.training.scaled.number_of["new"]
    assert number not in made.training.windows("train").segments.series
    assert number in made.training.windows("test").segments.series
    scaler, lookback = made.training.scaler, made.series.series(number)[:48]
    assert np.isclose(scaler.mean[number], lookback.mean()) and np.isclose(scaler.std[number], lookback.std())


def test_the_scale_of_a_series_is_that_of_its_own_training_rows() -> None:
    """Grid positions that are taken for rows of the series would scale with test values."""
    made = prepared(sales())
    before = sales()[sales()["date"] < DATES["validation_from"]]
    for number, name in enumerate(made.training.scaler.channels):
        own = before[before["store"] == name]["sales"]
        assert np.isclose(made.training.scaler.mean[number], own.mean())
        assert np.isclose(made.training.scaler.std[number], own.std(ddof=0))


def test_no_series_with_a_window_is_an_error() -> None:
    """An empty split would divide by zero, hours later."""
    short = sales().groupby("store").head(50)
    days = pd.date_range("2020-01-01", periods=300).astype(str)
    short["date"] = np.concatenate([days[first : first + 50] for first in (0, 120, 250)])
    with pytest.raises(SeriesError, match=r"no series has enough rows for a train window: 48 \+ 12 rows"):
        prepared(short, data={"id_columns": ["store"]})


def test_segments_are_those_of_each_series_alone() -> None:
    """They are computed for all series at once; gaps need several segments."""
    table = sales()
    table = table[~((table["store"] == "S1") & table["date"].between("2020-05-01", "2020-05-03"))]
    panel = read(table, gaps="drop_windows")
    window, rows = WindowParams(seq_len=20, pred_len=5), (10, 250)
    together = segments_of(panel, [2, 0, 1], rows, 3, window)
    alone = [segments_of(panel, [number], rows, 3, window) for number in (2, 0, 1)]
    for name in ("series", "first", "count", "step"):
        assert np.array_equal(getattr(together, name), np.concatenate([getattr(one, name) for one in alone]))
    assert together.series.tolist() == [2, 0, 1, 1]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        (pd.date_range("2020-01-01", periods=400), (0, 182)),
        (pd.date_range("2020-01-01", periods=400, tz="+02:00"), (0, 182)),
    ],
)
def test_dates_cut_at_the_same_instant(stamps: pd.DatetimeIndex, expected: tuple[int, int]) -> None:
    """A backtest of many series must not see the future of any of them."""
    split = SplitParams.model_validate(DATES)
    borders = split_borders(400, split, WindowParams(seq_len=48, pred_len=12), stamps=stamps)
    assert borders.train == expected and borders.validation == (182 - 48, 213) and borders.test == (213 - 48, 400)
    assert borders.lookback == 48


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"method": "dates", "test_from": "2020-01-01"}, "needs validation_from and test_from"),
        ({**DATES, "test_from": "2020-06-01"}, "must be before test_from"),
        ({**DATES, "test_from": "soon"}, "'soon' is not a time stamp"),
        ({**DATES, "method": "ratio"}, "have no effect with method ratio"),
    ],
)
def test_dates_that_make_no_split_are_refused(split: dict[str, Any], message: str) -> None:
    """In the first second, with the parameter."""
    with pytest.raises(ParameterError, match=message):
        parse_parameters({"split": split})
