"""Row ranges of training, validation and test, to the row."""

import pytest

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import SplitParams, WindowParams
from timellm_pipeline.series.borders import RANGES, split_borders

ETT_HOUR = SplitParams(method="ett_hour")
WINDOW = WindowParams(seq_len=256, pred_len=96)


def test_ett_hour_borders_are_twelve_four_and_four_months_of_thirty_days() -> None:
    """Without it numbers on ETTh1 could not be compared with any published table."""
    borders = split_borders(17_420, ETT_HOUR, WINDOW)
    assert borders.num_rows == 17_420
    assert borders.train == (0, 8_640)
    assert borders.validation == (8_640 - 256, 11_520)
    assert borders.test == (11_520 - 256, 14_400)  # the file's last 3,020 rows are in no published range
    assert borders.train_rows == 8_640


def test_ett_minute_borders_are_four_times_the_hourly_ones() -> None:
    """Without it the 15-minute files would be cut after a quarter of their months."""
    borders = split_borders(69_680, SplitParams(method="ett_minute"), WINDOW)
    assert borders.train == (0, 34_560)
    assert borders.validation == (34_560 - 256, 46_080)
    assert borders.test == (46_080 - 256, 57_600)


def test_ratio_borders_use_every_row() -> None:
    """Without it rounding could lose a row between two ranges, or the last rows of the file."""
    borders = split_borders(12_194, SplitParams(method="ratio"), WINDOW)
    assert borders.train == (0, 8_535)
    assert borders.test == (12_194 - 2_438 - 256, 12_194)
    assert borders.validation == (8_535 - 256, 12_194 - 2_438)


@pytest.mark.parametrize("split", [ETT_HOUR, SplitParams(method="ratio"), SplitParams(train_percent=10)])
@pytest.mark.parametrize("seq_len", [2, 96, 512])
def test_validation_and_test_look_back_seq_len_rows(split: SplitParams, seq_len: int) -> None:
    """Without it the first forecasts of a range are lost, or rows that training saw are scored as truth."""
    window = WindowParams(seq_len=seq_len, pred_len=24, patch_len=2)
    whole = split.model_copy(update={"train_percent": 100})
    train_end = split_borders(17_420, whole, window).train[1]
    borders = split_borders(17_420, split, window)
    assert borders.validation[0] + seq_len == train_end  # the first row that validation forecasts
    assert borders.test[0] + seq_len == borders.validation[1]  # the first row that the test forecasts


@pytest.mark.parametrize(("percent", "last_row"), [(100, 8_640), (50, 4_448), (10, 1_094), (5, 675)])
def test_train_percent_keeps_the_first_rows_of_training_alone(percent: int, last_row: int) -> None:
    """Without it few-shot training would see more rows than it says, or another validation than full training."""
    few = split_borders(17_420, SplitParams(method="ett_hour", train_percent=percent), WINDOW)
    full = split_borders(17_420, ETT_HOUR, WINDOW)
    assert few.train == (0, last_row)
    assert last_row == (8_640 - 256) * percent // 100 + 256
    assert few.train_rows == last_row
    assert (few.validation, few.test) == (full.validation, full.test)


@pytest.mark.parametrize(("method", "needed"), [("ett_hour", 14_400), ("ett_minute", 57_600)])
def test_file_too_short_for_published_borders_names_both_lengths(method: str, needed: int) -> None:
    """Without it a short file would get a test range that ends after its last row."""
    split = SplitParams.model_validate({"method": method})
    assert split_borders(needed, split, WINDOW).test[1] == needed
    with pytest.raises(SeriesError) as caught:
        split_borders(needed - 1, split, WINDOW, file="short.csv")
    assert f"{needed - 1:,} rows" in caught.value.what
    assert f"needs {needed:,}" in caught.value.what
    assert f"split.method={method}" in caught.value.what
    assert caught.value.where == "short.csv"
    assert "split.method=ratio" in caught.value.do


@pytest.mark.parametrize(
    ("name", "split", "rows", "needed", "remedy"),
    [
        ("train", {"train_ratio": 0.2, "test_ratio": 0.4}, 20, 24, "window.seq_len"),
        ("validation", {"train_ratio": 0.7, "test_ratio": 0.27}, 3, 8, "window.pred_len"),
        ("test", {"train_ratio": 0.7, "test_ratio": 0.05}, 5, 8, "window.pred_len"),
    ],
)
def test_range_too_short_for_one_window_names_both_lengths(
    name: str, split: dict[str, float], rows: int, needed: int, remedy: str
) -> None:
    """Without it a range has no window at all, and a mean over nothing is NaN."""
    with pytest.raises(SeriesError) as caught:
        split_borders(100, SplitParams(**split), WindowParams(seq_len=16, pred_len=8), file="short.csv")
    what = caught.value.what
    assert what.startswith(f"the {name} range has {rows} of the series' 100 rows; one window needs {needed} ")
    assert "seq_len 16, pred_len 8" in what
    assert caught.value.where == "short.csv"
    assert remedy in caught.value.do


def test_range_of_exactly_one_window_is_enough() -> None:
    """Without it the check of the lengths could be off by one and refuse a series that has a window."""
    window = WindowParams(seq_len=56, pred_len=14)
    split = SplitParams(train_ratio=0.7, test_ratio=0.15)
    borders = split_borders(100, split, window)
    for name in RANGES:
        first, last = getattr(borders, name)
        assert last - first - window.seq_len - window.pred_len >= 0
    assert borders.train == (0, 70)
    with pytest.raises(SeriesError, match="the train range"):
        split_borders(100, split, WindowParams(seq_len=57, pred_len=14))
