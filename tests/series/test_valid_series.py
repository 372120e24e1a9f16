"""What a good CSV becomes: an even, numeric series that knows its file and frequency."""

import numpy as np
import pandas as pd

from conftest import check
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.panel import Panel, Source

HOURS = pd.date_range("2020-01-01", periods=48, freq="h").astype(str)


def checked(frame: pd.DataFrame, date_column: str = "date") -> Panel:
    """The checked series of a table as it would be read."""
    return check(frame, DataParams(date_column=date_column), path="good.csv")


def validate(frame: pd.DataFrame, date_column: str = "date") -> pd.DataFrame:
    """The same as a wide table."""
    return checked(frame, date_column).to_frame()


def test_series_has_date_first_and_float64_channels_in_the_files_order() -> None:
    """Without it whole numbers or another order of columns would give other values, or another data id."""
    frame = pd.DataFrame(
        {"OT": np.arange(48), "date": HOURS, "A": [True, False] * 24, "B": [str(n) for n in range(48)]}
    )
    series = validate(frame)
    assert list(series.columns) == ["date", "OT", "A", "B"]
    assert (series.dtypes.iloc[1:] == np.float64).all()
    assert series["date"].dtype.kind == "M"
    assert series["OT"].tolist() == series["B"].tolist() == list(range(48))
    assert series["A"].tolist() == [1.0, 0.0] * 24


def test_series_carries_frequency_file_and_digest() -> None:
    """Without it nothing behind the validation could name the file, or know its season."""
    series = checked(pd.DataFrame({"date": HOURS, "OT": 0.5}))
    assert (series.frequency, series.zone, series.drop_filled) == ("h", None, False)
    assert series.source == Source("good.csv", "0" * 64, 48)


def test_validation_leaves_the_raw_frame_as_it_was() -> None:
    """Without it a raw frame that a notebook holds would change under its hands."""
    frame = pd.DataFrame({"date": HOURS, "OT": range(48)})
    before = frame.copy(deep=True)
    validate(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_date_column_of_another_name_becomes_date() -> None:
    """Without it `data.date_column` would be read and then lost, and everything behind looks for `date`."""
    series = validate(pd.DataFrame({"time": HOURS, "OT": range(48)}), date_column="time")
    assert list(series.columns) == ["date", "OT"]
    assert series["date"].iloc[1] == pd.Timestamp("2020-01-01 01:00:00")


def test_channel_named_date_beside_another_date_column_is_a_channel() -> None:
    """Without it a file with a column `time` and a channel `date` would lose its time stamps."""
    series = checked(pd.DataFrame({"time": HOURS, "date": range(48), "OT": range(48)}), date_column="time")
    assert series.ids == ("date", "OT") and series.series(0).tolist() == list(range(48))
    assert str(series.stamps[0]) == "2020-01-01 00:00:00"


def test_rows_of_another_index_keep_their_values() -> None:
    """Without it a frame cut out of a longer one (its index starts at 10) would be joined to wrong rows."""
    frame = pd.DataFrame({"date": HOURS, "OT": range(48)}).iloc[10:]
    series = validate(frame)
    assert series["OT"].tolist() == list(range(10, 48))
    assert series["date"].iloc[0] == pd.Timestamp("2020-01-01 10:00:00")


def test_parsed_dates_give_the_same_series_as_text() -> None:
    """Without it a notebook that parses dates itself would get another series than the command line."""
    text = validate(pd.DataFrame({"date": HOURS, "OT": range(48)}))
    parsed = validate(pd.DataFrame({"date": pd.to_datetime(HOURS), "OT": range(48)}))
    pd.testing.assert_frame_equal(text, parsed)


def test_rows_of_an_index_with_repeated_numbers_keep_their_values() -> None:
    """Two frames joined by pandas.concat have each number twice."""
    halves = pd.DataFrame({"date": HOURS, "OT": range(48)})
    halves.index = [*range(24), *range(24)]
    assert validate(halves)["OT"].tolist() == list(range(48))
    days = pd.date_range("2020-01-02", periods=10).strftime("%m/%d/%Y")
    assert len(validate(pd.DataFrame({"date": days, "OT": range(10)}, index=[0] * 10))) == 10
