"""Long tables: recognised or refused with the parameter to set, and the same panel as the wide table."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import small_parameters
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import prepare, validate
from timellm_pipeline.series.reading import RawFile

STARTS = ("2020-01-01", "2020-01-31", "2020-03-01")
LENGTHS = (300, 250, 200)


def sales() -> pd.DataFrame:
    """Three stores with their own first and last days."""
    rng = np.random.default_rng(0)
    days = [pd.date_range(start, periods=length, freq="D") for start, length in zip(STARTS, LENGTHS)]
    return pd.concat(
        [
            pd.DataFrame({"date": one.astype(str), "store": f"S{number}", "sales": rng.random(len(one)).round(3)})
            for number, one in enumerate(days)
        ],
        ignore_index=True,
    )


def read(table: pd.DataFrame, features: str = "M", **data: Any) -> Panel:
    """The panel of a table that was written as CSV."""
    file = RawFile("sales.csv", table.to_csv(index=False).encode())
    window = WindowParams.model_validate({"seq_len": 48, "pred_len": 12, "features": features, "target": "S1"})
    return validate(file, DataParams.model_validate(data), window)


def refusal(table: pd.DataFrame, **data: Any) -> SeriesError:
    with pytest.raises(SeriesError) as caught:
        read(table, **data)
    return caught.value


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table,
        lambda table: table.rename(columns={"store": "unique_id", "date": "ds", "sales": "y"}),
        lambda table: table.assign(store=table["store"].str[1:].astype(int)),
        lambda table: table.sort_values(["date", "store"]),
        lambda table: table.iloc[::-1],
        lambda table: table[["sales", "store", "date"]],
    ],
    ids=["text", "standard names", "numbers", "by date", "backwards", "columns in another order"],
)
def test_a_long_table_is_recognised_and_reported(change: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It failed misleadingly: `'S0' is not a finite number … fill the value in`."""
    caplog.set_level("INFO")
    panel, table = read(change(sales())), sales()
    assert "a long table: ids in " in caplog.text
    assert sorted(panel.lengths.tolist()) == sorted(LENGTHS) and panel.frequency == "D"
    for number, name in enumerate(panel.ids):
        own = table[table["store"].str[1:] == str(name)[-1]]
        assert np.array_equal(panel.series(number), own["sales"])
        assert str(panel.stamps[panel.first[number]].date()) == own["date"].iloc[0]


def test_the_same_table_wide_and_long_gives_the_same_panel(raw_series: pd.DataFrame) -> None:
    """Equal digests: equal training ids, and equal bytes of the model."""
    broken = raw_series.drop(index=[100, 101, 300]).reset_index(drop=True)
    broken.loc[200, "OT"] = np.nan
    for table, gaps in ((raw_series, "error"), (broken, "interpolate"), (broken, "drop_windows")):
        parameters = small_parameters(data={"gaps": gaps})
        long = table.melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})
        wide = prepare(RawFile("w.csv", table.to_csv(index=False).encode()), parameters)
        for rows in (long, long.dropna(), long.sort_values("ds", kind="stable")):
            other = prepare(RawFile("l.csv", rows.to_csv(index=False).encode()), parameters)
            assert other.series.ids == wide.series.ids and np.array_equal(other.series.filled, wide.series.filled)
            assert other.training.scaled.digest() == wide.training.scaled.digest()
            assert other.training.index.counts() == wide.training.index.counts()


def test_several_columns_identify_a_series() -> None:
    """A store sells several items."""
    table = sales().assign(item="milk")
    both = pd.concat([table, table.assign(item="bread", sales=table["sales"] + 1)])
    panel = read(both, id_columns=["store", "item"])
    assert panel.ids[:2] == ("S0/milk", "S1/milk") and len(panel.ids) == 6
    assert panel.source.id_columns == ("store", "item") and panel.source.date_column == "date"
    assert np.array_equal(panel.series(panel.number_of["S2/bread"]), panel.series(panel.number_of["S2/milk"]) + 1)
    assert "contains `/`" in refusal(both.assign(item="a/b"), id_columns=["store", "item"]).what


def test_the_target_counts_only_where_it_has_a_role() -> None:
    """A panel of stores has no channel OT; with `S` the target is one of the stores."""
    assert len(read(sales(), "M").ids) == 3 and read(sales(), "S").ids == ("S1",)
    with pytest.raises(SeriesError, match="the target channel `S1` is not in the file"):
        read(sales().replace({"store": {"S1": "S9"}}), "MS")


def drop(table: pd.DataFrame, store: str, date: str) -> pd.DataFrame:
    return table[~((table["store"] == store) & (table["date"] == date))]


def weekly(table: pd.DataFrame) -> pd.DataFrame:
    """The second store reports once a week."""
    own = table["store"] == "S1"
    table = table.copy()
    table.loc[own, "date"] = pd.date_range("2020-01-01", periods=int(own.sum()), freq="7D").astype(str)
    return table


@pytest.mark.parametrize(
    ("spoil", "data", "what", "do"),
    [
        (
            lambda table: pd.concat([table, table.iloc[[10]]]),
            {},
            "the time stamp of `S0` at 2020-01-11 00:00:00 is repeated",
            "keep one row",
        ),
        (
            lambda table: drop(table, "S1", "2020-03-01"),
            {},
            "`S1` has no row at 2020-03-01 00:00:00; 1 rows of 1 series are missing",
            "data.gaps",
        ),
        (weekly, {"gaps": "interpolate"}, "rows of `S1` are 7 or more steps of D apart", "same frequency"),
        (lambda table: table.assign(store=table["store"].where(table.index != 3)), {}, "an id is missing", "fill the"),
        (lambda table: table.assign(price=1.5), {}, "`sales`, `price` may be the values", "data.value_column"),
        (lambda table: table, {"id_columns": "shop"}, "there is no column `shop`", "data.id_columns"),
        (lambda table: table, {"value_column": "date"}, "must be different columns", "data.value_column"),
        (
            lambda table: table.assign(sales=table["sales"].where(table.index != 3)),
            {},
            "the value of `S0` at 2020-01-04 00:00:00 is missing",
            "data.gaps",
        ),
        (
            lambda table: table.groupby("store").head(1),
            {"layout": "long"},
            "1 rows are too few to find the frequency",
            "longer series",
        ),
        (
            lambda table: table.assign(date=(table["date"] + " 00:00").where(table.index != 3, "2020-01-04 07:00")),
            {"gaps": "interpolate"},
            "irregular steps",
            "evenly spaced",
        ),
        (
            lambda table: table.assign(sales=table["sales"].where(table["store"] != "S2", np.nan)),
            {"gaps": "interpolate"},
            "200 of 200 values of `S2` are missing",
            "remove the series",
        ),
        (
            lambda table: table.assign(sales=table["sales"].astype(object).where(table.index != 3, "none")),
            {},
            "'none' is not a finite number",
            "fill the value in",
        ),
    ],
    ids=[
        "duplicate",
        "gap",
        "mixed frequencies",
        "no id",
        "two values",
        "unknown column",
        "same column",
        "no value",
        "single rows",
        "off the grid",
        "no values of a series",
        "text",
    ],
)
def test_a_bad_long_file_is_one_message(spoil: Any, data: dict[str, Any], what: str, do: str) -> None:
    """With the series and the time stamp, and the parameter to set."""
    error = refusal(spoil(sales()), **data)
    assert what in error.what and do in error.do and error.where.startswith("sales.csv")


def test_a_wide_table_stays_wide() -> None:
    """A repeated time stamp of a wide table is an error of that table, not another layout."""
    days = pd.date_range("2020-01-01", periods=100).astype(str)
    wide = pd.DataFrame({"date": days, "S1": np.arange(100), "b": np.arange(100) % 7})
    assert read(wide).ids == ("S1", "b")
    assert "is repeated" in refusal(pd.concat([wide, wide.iloc[[3]]])).what
    assert "its channels are `store`, `sales`" in refusal(sales(), layout="wide").what
