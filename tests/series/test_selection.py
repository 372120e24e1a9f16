"""The data of some series are those series, in the wanted order, with their own windows and scales."""

import numpy as np
import pandas as pd
import pytest

from conftest import small_parameters
from timellm_pipeline.series.prepare import prepare


@pytest.mark.parametrize("ids", [["OT", "HUFL"], ["HULL"]])
def test_windows_of_some_series_are_theirs(raw_series: pd.DataFrame, ids: list[str]) -> None:
    """A champion and a candidate are compared on the series of both."""
    table = raw_series.drop(index=[100, 101]).reset_index(drop=True)
    data = prepare(table, small_parameters(data={"gaps": "drop_windows"})).training
    some = data.of_series(ids)
    assert some.index.ids == some.scaled.ids == tuple(ids) and some.scaler.channels == ids
    for split in ("train", "validation", "test"):
        windows, every = some.windows(split), data.windows(split)
        for number, name in enumerate(ids):
            own, other = windows.segments.numbers_of(number), every.segments.numbers_of(every.panel.number_of[name])
            for found, expected in zip(windows.gather(own), every.gather(other), strict=True):
                np.testing.assert_array_equal(found, expected)
        assert (np.diff(windows.segments.series) >= 0).all(), "ordered by series"
    x, channel = some.windows("test").gather(np.array([0]))[0], some.windows("test").channel(np.array([0]))
    number = data.scaled.number_of[ids[0]]
    expected = x * data.scaler.std[number] + data.scaler.mean[number]
    np.testing.assert_allclose(some.scaler.unscale(x, channel), expected)


def test_all_series_are_the_same_data(raw_series: pd.DataFrame) -> None:
    """Wide files take the path that they always took."""
    data = prepare(raw_series, small_parameters()).training
    assert data.of_series(data.index.ids) is data
    with pytest.raises(KeyError):
        data.of_series(["unknown"])


def test_rows_that_were_filled_in_are_found_by_series_and_row(raw_series: pd.DataFrame) -> None:
    """Of all series at once: a backtest of 20,000 series has millions of rows."""
    table = raw_series.copy()
    table.loc[[50, 51, 52], "OT"] = np.nan
    table.loc[0, "HUFL"] = np.nan
    panel = prepare(table, small_parameters(data={"gaps": "interpolate"})).series
    number, row = (array.reshape(-1) for array in np.indices((panel.num_series, panel.num_rows)))
    found = panel.is_filled(number, row)
    assert set(zip(number[found].tolist(), row[found].tolist())) == {
        *((panel.number_of["OT"], one) for one in (50, 51, 52)),
        (panel.number_of["HUFL"], 0),
    }
