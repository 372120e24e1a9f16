"""Known columns: read with the series, known after their last value, and never invented."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_long_table import sales

from timellm_pipeline.errors import ParameterError, SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams, parse_parameters
from timellm_pipeline.series import long_parquet
from timellm_pipeline.series.known_rows import with_future
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.prepare import validate
from timellm_pipeline.series.reading import RawFile

WINDOW = WindowParams(seq_len=48, pred_len=12, target="A")
LONG = {"id_columns": ["store"], "value_column": "sales", "known_columns": ["promotion", "price"]}
AHEAD = 14


def promoted(stores: int = 3) -> pd.DataFrame:
    """Sales with a promotion and a price, also for two weeks after the last sale of each store."""
    table = sales()
    ahead = []
    for store, own in table.groupby("store"):
        days = pd.date_range(own["date"].iloc[-1], periods=AHEAD + 1, freq="D")[1:]
        ahead.append(pd.DataFrame({"date": days.astype(str), "store": store, "sales": np.nan}))
    table = pd.concat([table, *ahead]).sort_values(["store", "date"], kind="stable")
    table = table[table["store"] < f"S{stores}"].reset_index(drop=True)
    return table.assign(promotion=np.arange(len(table)) % 5 == 0, price=np.arange(len(table)) / 7)


def read(table: pd.DataFrame, **data: Any) -> Panel:
    """The panel of a table that was written as CSV."""
    settings = DataParams.model_validate({**LONG, **data})
    return validate(RawFile("sales.csv", table.to_csv(index=False).encode()), settings, WINDOW)


def test_known_columns_reach_beyond_the_last_value() -> None:
    """Rows without a value after the last one are the future, not a gap."""
    table, panel = promoted(), read(promoted())
    known = panel.known
    assert known is not None and known.names == ("promotion", "price")
    assert panel.lengths.tolist() == [300, 250, 200] and (known.length - panel.lengths).tolist() == [AHEAD] * 3
    for number, store in enumerate(panel.ids):
        own = table[table["store"] == store][["promotion", "price"]].to_numpy(dtype=np.float32)
        np.testing.assert_array_equal(known.gather(np.array([number]), np.array([0]), len(own)).values[0], own)


@pytest.mark.parametrize("part", [100, 1 << 22])
def test_parquet_gives_the_known_columns_of_csv(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """In one part and in several."""
    monkeypatch.setattr(long_parquet, "BATCH", 64)
    monkeypatch.setattr(long_parquet, "PART", part)
    table, buffer = promoted(), io.BytesIO()
    table.assign(date=pd.to_datetime(table["date"])).to_parquet(buffer, index=False)
    found = validate(RawFile("sales.parquet", buffer.getvalue()), DataParams.model_validate(LONG), WINDOW)
    expected = read(table)
    assert found.known is not None and expected.known is not None
    np.testing.assert_array_equal(found.known.values, expected.known.values)
    assert found.digest() == expected.digest()


def test_channels_of_a_wide_table_share_the_known_columns() -> None:
    """They are stored once."""
    one = promoted(1)
    wide = one.rename(columns={"sales": "A"}).drop(columns="store").assign(B=one["sales"] * 2)
    panel = read(wide, id_columns=[], value_column=None)
    assert panel.ids == ("A", "B") and panel.lengths.tolist() == [300, 300]
    known = panel.known
    assert known is not None and len(known.values) == 300 + AHEAD and known.length.tolist() == [300 + AHEAD] * 2
    np.testing.assert_array_equal(known.values[:, 1], one["price"].to_numpy(dtype=np.float32))


def test_a_gap_inside_a_series_stays_a_gap() -> None:
    """Only rows after the last value are the future."""
    table = promoted()
    table.loc[100, "sales"] = np.nan
    with pytest.raises(SeriesError, match="the value of `S0` at 2020-04-10 00:00:00 is missing"):
        read(table)
    missing = promoted().drop(index=[100, 101])
    panel = read(missing, gaps="interpolate")
    assert panel.known is not None and panel.filled.tolist() == [[0, 100, 101]]
    np.testing.assert_allclose(panel.known.values[98:104, 1], np.arange(98, 104) / 7, rtol=1e-6)


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (100, "price", "the known column `price` has no value for `S0` at 2020-04-10 00:00:00"),
        (320, "promotion", "the known column `promotion` has no value for `S1` at"),
    ],
)
def test_a_missing_known_value_is_named(row: int, column: str, message: str) -> None:
    """With series and time stamp."""
    table = promoted().astype({"promotion": float})
    table.loc[row, column] = np.nan
    with pytest.raises(SeriesError, match=message):
        read(table)


def test_a_missing_future_value_ends_what_is_known() -> None:
    """A promotion plan may end before the horizon does: the forecast reports it."""
    table = promoted()
    table.loc[305, "price"] = np.nan
    panel = read(table)
    assert panel.known is not None and (panel.known.length - panel.lengths).tolist() == [5, AHEAD, AHEAD]


def test_future_values_may_come_in_a_second_file() -> None:
    """Its earlier rows and other ids are ignored."""
    table = promoted()
    past = table[table["sales"].notna()]
    panel = read(past)
    assert panel.known is not None and (panel.known.length == panel.lengths).all()
    second = pd.concat([table.drop(columns="sales"), table.assign(store="another").drop(columns="sales")])
    file = RawFile("plan.csv", second.to_csv(index=False).encode())
    joined, expected = with_future(panel, file, DataParams.model_validate(LONG)), read(table)
    assert joined.known is not None and expected.known is not None
    np.testing.assert_array_equal(joined.known.values, expected.known.values)
    assert joined.known.length.tolist() == expected.known.length.tolist()


def test_a_second_file_for_a_wide_table() -> None:
    """All channels share its rows."""
    one = promoted(1).rename(columns={"sales": "A"}).drop(columns="store")
    wide = one.assign(B=one["A"])
    data = {"id_columns": [], "value_column": None}
    panel = read(wide[wide["A"].notna()], **data)
    file = RawFile("plan.csv", wide.drop(columns=["A", "B"]).to_csv(index=False).encode())
    joined, expected = with_future(panel, file, DataParams.model_validate({**LONG, **data})), read(wide, **data)
    assert joined.known is not None and expected.known is not None
    np.testing.assert_array_equal(joined.known.values, expected.known.values)
    assert joined.known.length.tolist() == expected.known.length.tolist()


def test_a_missing_known_value_of_a_wide_table_is_named() -> None:
    """With its line."""
    wide = promoted(1).rename(columns={"sales": "A"}).drop(columns="store")
    wide.loc[50, "price"] = np.nan
    with pytest.raises(SeriesError, match="the known column `price` has no value") as caught:
        read(wide, id_columns=[], value_column=None)
    assert caught.value.where == "sales.csv, line 52, column `price`"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="price"), "there is no column `price`"),
        (lambda table: pd.concat([table, table.tail(1)]), "the time stamp of `S2` at 2020-09-30 00:00:00 is repeated"),
        (lambda table: table.assign(price=np.nan), "channel `price` has no values"),
        (lambda table: table.assign(store="another"), "no row is after the last value of a series .* rows of 0 of 3"),
        (lambda table: table[table["date"] < "2020-03"], "no row is after the last value of a series"),
        (lambda table: table.assign(date=table["date"] + "T00:00:00Z"), "this file has a time zone"),
        (
            lambda table: table.assign(price=table["price"].where(table["date"] != "2020-11-02")),
            "a known column has no value for `S0` at 2020-11-02",
        ),
    ],
    ids=["no column", "repeated", "empty", "other ids", "old", "a zone", "a value is missing"],
)
def test_a_bad_second_file_is_refused(change: Any, message: str) -> None:
    """One message each."""
    file = RawFile("plan.csv", change(promoted().drop(columns="sales")).to_csv(index=False).encode())
    with pytest.raises(SeriesError, match=message):
        with_future(read(promoted()), file, DataParams.model_validate(LONG))


def test_the_first_file_keeps_the_future_that_the_second_lacks() -> None:
    """Half of the stores are planned in another system."""
    table = promoted()
    panel, second = read(table), table[table["store"] == "S1"].drop(columns="sales")
    joined = with_future(panel, RawFile("p.csv", second.to_csv(index=False).encode()), DataParams.model_validate(LONG))
    assert joined.known is not None and (joined.known.length - panel.lengths).tolist() == [AHEAD] * 3


def hours(zone: str, first: str, count: int, promotion: int) -> pd.DataFrame:
    """Hours with their UTC offset; the promotion counts upwards."""
    stamps = pd.date_range(first, periods=count, freq="h", tz="UTC").tz_convert(zone)
    texts = [stamp.isoformat() for stamp in stamps]
    return pd.DataFrame({"date": texts, "A": 1.0 + np.arange(count) % 5, "promotion": promotion + np.arange(count)})


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT-2", "Etc/GMT+7"])
@pytest.mark.parametrize("of_series", ["Etc/GMT-2", "Europe/Berlin"])
def test_the_files_may_have_other_time_zones(zone: str, of_series: str) -> None:
    """The values belong to instants. A promotion at 15:00 was forecast for 13:00."""
    data = {"id_columns": [], "value_column": None, "known_columns": ["promotion"]}
    panel = read(hours(of_series, "2020-03-20", 300, 0), **data)  # Berlin has a daylight saving time change in it
    second = hours(zone, "2020-04-01", 40, 288).drop(columns="A")
    file = RawFile("plan.csv", second.to_csv(index=False).encode())
    joined = with_future(panel, file, DataParams.model_validate({**LONG, **data}))
    assert joined.known is not None and joined.known.values[:, 0].tolist() == list(range(328))


def test_what_is_known_of_the_future_changes_no_training() -> None:
    """Another plan for next week would be another training id."""
    table = promoted()
    moved = table.assign(price=table["price"].where(table["sales"].notna(), 99.0))
    past = table.assign(price=table["price"].where(table.index != 5, 99.0))
    assert read(table).digest() == read(moved).digest() != read(past).digest()


@pytest.mark.parametrize("wide", [False, True])
def test_infinity_is_not_known(wide: bool) -> None:
    """In the horizon the message blamed the values of the series."""
    table = promoted(1)
    table.loc[310, "price"] = np.inf if not wide else 1e39  # too large for float32
    if wide:
        table = table.rename(columns={"sales": "A"}).drop(columns="store")
    settings = {"id_columns": [], "value_column": None} if wide else {}
    with pytest.raises(SeriesError, match="price"):
        read(table, **settings)


def test_a_wide_file_may_have_its_newest_row_first() -> None:
    """It is sorted, as one without known columns."""
    wide = promoted(1).rename(columns={"sales": "A"}).drop(columns="store")
    data = {"id_columns": [], "value_column": None}
    assert read(wide.iloc[::-1], **data).digest() == read(wide, **data).digest()
    with pytest.raises(SeriesError, match="is repeated"):
        read(pd.concat([wide, wide.tail(1)]), **data)


def test_a_series_without_a_value_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A store that opens next week has a price and no sales yet."""
    table = promoted()
    new = table[table["store"] == "S0"].tail(AHEAD).assign(store="new")
    panel = read(pd.concat([new, table]))
    assert panel.ids == ("S0", "S1", "S2") and "1 series have no values and are left out: `new`" in caplog.text
    assert panel.digest() == read(table).digest()


def test_static_columns_of_a_wide_table_are_refused() -> None:
    """They would become channels, or be ignored."""
    wide = promoted(1).rename(columns={"sales": "A"}).drop(columns="store")
    with pytest.raises(SeriesError, match="this is a wide table, and `price` cannot describe its channels"):
        read(wide, id_columns=[], value_column=None, known_columns=["promotion"], static_columns=["price"])


def test_a_second_file_without_known_columns_is_refused() -> None:
    """It would have no effect."""
    table = promoted()
    panel = read(table[table["sales"].notna()], known_columns=[])
    with pytest.raises(SeriesError, match="a file of known columns is given, but the model uses none"):
        with_future(panel, RawFile("plan.csv", b""), DataParams.model_validate(LONG))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"data": {"known_columns": ["a", "a"]}}, "'a' of known_columns has another role too, or is named twice"),
        ({"data": {"known_columns": ["date"]}}, "'date' of known_columns has another role"),
        ({"data": {"layout": "wide", "static_columns": ["a"]}}, "static_columns are columns of a long table"),
        ({"data": {"known_columns": ["a"]}, "model": {"linear": "none"}}, "regressors of the linear part"),
        ({"prompt": {"series_facts": "static"}}, "prompt.series_facts=static needs data.static_columns"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(groups: dict[str, Any], message: str) -> None:
    """Before anything is read."""
    with pytest.raises(ParameterError, match=message):
        parse_parameters(groups)


def test_a_known_column_that_is_not_in_the_file_is_named() -> None:
    """For both kinds of tables."""
    with pytest.raises(SeriesError, match="there is no column `discount`"):
        read(promoted(), known_columns=["discount"])
    wide = promoted(1).drop(columns="store")
    with pytest.raises(SeriesError, match="there is no column `discount`"):
        read(wide, id_columns=[], value_column=None, known_columns=["discount"])
