"""Errors by series: the worst first, whatever is unknown."""

from typing import Any

import pandas as pd
import pytest

from timellm_pipeline.evaluation.by_series import ranked_series, series_lines, series_table


def models(mse: list[float], mase: list[float | None]) -> dict[str, Any]:
    """`models` of a test of as many series."""
    names = [f"s{number}" for number in range(len(mse))]
    scaled = {name: {"mse": one, "mae": one / 2, "rmse": one} for name, one in zip(names, mse)}
    original = {name: {"mase": one, "smape": 1.0, "wape": None} for name, one in zip(names, mase)}
    naive = {name: {"mse": 0.5 if name != "s1" else 0.0} for name in names}
    return {
        "timellm": {"scaled": {"per_channel": scaled}, "original": {"per_channel": original}},
        "seasonal_naive": {"scaled": {"per_channel": naive}},
    }


def equal_series(mase: list[float | None]) -> pd.DataFrame:
    """Table of series that differ in MASE only."""
    names = [f"s{number}" for number in range(len(mase))]
    return series_table(models([0.1] * len(mase), mase), dict.fromkeys(names, 1), dict.fromkeys(names, 2.0))


def test_the_worst_series_comes_first_and_unknown_errors_stay_unknown() -> None:
    """A mean over thousands of stores hides the few that nobody should order by."""
    table = series_table(
        models([0.1, 0.4, 0.2], [0.9, None, 1.5]), {"s0": 4, "s1": 5, "s2": 6}, {"s0": 1, "s1": 6, "s2": 3}
    )
    assert table["channel"].tolist() == ["s2", "s0", "s1"] and table["windows"].tolist() == [6, 4, 5]
    assert table["volume"].tolist() == pytest.approx([30, 10, 60])
    assert table["skill"].round(3).tolist()[:2] == [0.6, 0.8] and pd.isna(table["skill"][2])
    assert pd.isna(table["mase"][2]) and table["wape"].isna().all()


def test_many_series_are_shown_by_their_ends() -> None:
    """All rows of 20,000 series would push everything else out of the log."""
    count = 40
    table = equal_series([float(n) for n in range(count)])
    lines = [line.split() for line in series_lines(table).splitlines()]
    assert [line[0] for line in lines] == ["channel", "s39", "s38", "s37", "s2", "s1", "s0"]
    assert lines[0][2] == "volume" and lines[1][2] == "2.5"
    assert series_lines(table.head(16)) == ""


def test_a_series_whose_mase_is_unknown_is_not_shown_as_the_best() -> None:
    """A store that sold nothing in training has no MASE and is last in the table: it would be called the best."""
    some = equal_series([float(n) for n in range(17)] + [None] * 3)
    assert [line.split()[0] for line in series_lines(some).splitlines()][-3:] == ["s2", "s1", "s0"]
    none = equal_series([None] * 20)
    assert len(ranked_series(none)) == 20 and len(series_lines(none).splitlines()) == 7


def test_the_volume_of_series_that_are_zero_is_unknown() -> None:
    """An error here would end a test that has run for hours."""
    table = series_table(models([0.1], [1.0]), {"s0": 1}, {"s0": 0.0})
    assert table["volume"].isna().all()
