"""Columns are separated as the file shows, and names with signs of other languages are only names."""

import logging

import numpy as np
import pandas as pd
import pytest

from conftest import check
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams, WindowParams
from timellm_pipeline.series.reading import RawFile, read_table
from timellm_pipeline.series.separators import Separators, find_separators

HOURS = [f"2020-01-01 {hour:02d}:00:00" for hour in range(12)]


def table_of(*rows: str) -> pd.DataFrame:
    return read_table(RawFile("some file.tsv", "\n".join(rows).encode()), DataParams())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["date,OT", "2020,1.5"], (",", ".")),
        (["date\tOT", "2020\t1.5"], ("\t", ".")),
        (["date\tOT", "2020\t1,5", "2021\t2,125"], ("\t", ",")),
        (["date\tOT", "2020\t1,500", "2021\t2,125"], ("\t", ".")),
        (["date\tOT\tA", "2020\t1,5\t1.5"], ("\t", ".")),
        (["date\tload, kW", "2020\t1.5"], ("\t", ".")),
        (['date\t"load, kW"', "2020\t1.5"], ("\t", ".")),
        (['date\t"load, kW"\t"a;b"', '2020\t2\t"1,5"'], ("\t", ",")),
        (['date\t"load\tin kW"', "2020\t1.5"], ("\t", ".")),
        (["date;OT", "2020;1,5"], (";", ",")),
        (["date;OT", "2020;1.5"], (";", ".")),
        (["date;load, kW", "2020;1,5", "2021;2,5"], (";", ",")),
        (["date;a;b", "2020;1,5;2,5"], (";", ",")),
        (["date,lo\tad,OT", "2020,1,2"], (",", ".")),
        (["date,a;b", "2020,1"], (",", ".")),
        (["date,OT", "2020-01-01;x,1.5", "2021;y,2"], (",", ".")),
        (["date", "2020,1"], (",", ".")),
    ],
)
def test_separators_are_those_that_the_rows_have_as_often_as_the_header(
    lines: list[str], expected: tuple[str, str]
) -> None:
    """A comma in the name of one column made one column of a file with tabs."""
    assert find_separators(lines) == Separators(*expected)


@pytest.mark.parametrize("header", ["date\tload\tOT", "date\tload, kW\tOT", 'date\t"load, kW"\tOT', "date\tload;x\tOT"])
def test_a_file_with_tabs_is_read_with_commas_in_its_names(header: str, caplog: pytest.LogCaptureFixture) -> None:
    """Such files come from databases, with a unit behind each name."""
    table = table_of(header, *[f"{hour}\t{n}\t{n / 2}" for n, hour in enumerate(HOURS)])
    assert table.columns.tolist() == [name.strip('"') for name in header.split("\t")]
    np.testing.assert_array_equal(table["OT"], np.arange(12) / 2)
    assert "separated by tabs " in caplog.text


def test_a_file_with_tabs_is_read_with_commas_in_its_cells(caplog: pytest.LogCaptureFixture) -> None:
    """1,5 was text, and 1,500 must not become 1.5."""
    table = table_of("date\tOT", *[f"{hour}\t{n},25" for n, hour in enumerate(HOURS)])
    np.testing.assert_array_equal(table["OT"], np.arange(12) + 0.25)
    assert "tabs and commas as decimal points" in caplog.text
    assert table_of("date\tOT", *[f"{hour}\t{n},250" for n, hour in enumerate(HOURS, start=1)])["OT"].iloc[0] == "1,250"
    assert table_of("date\tnote\tOT", *[f'{hour}\t"a, b"\t1.5' for hour in HOURS])["OT"].iloc[0] == 1.5


def test_the_index_column_of_a_file_with_tabs_is_left_out() -> None:
    """The tab before the first name was taken for an empty line, and a name was missing."""
    frame = pd.DataFrame({"date": HOURS, "OT": np.arange(12.0)})
    table = table_of(*frame.to_csv(sep="\t").splitlines())
    pd.testing.assert_frame_equal(table, frame)


@pytest.mark.parametrize("name", ["load{kW}", "{0}", "{}", "%s load %d", "load %", "{load", "$load", "\\1load"])
def test_a_channel_with_signs_of_a_format_string_is_only_a_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A name in a message or log line is text, not a format."""
    caplog.set_level(logging.DEBUG)
    rows = [f"{hour},{n},1" for n, hour in enumerate(HOURS)]
    window = WindowParams(target=name)
    series = check(table_of(f"date,{name},still{name}", *rows), DataParams(), window)
    assert series.ids == (name, f"still{name}")
    assert f"`still{name}`: these channels are constant" in caplog.text
    assert f"`{name}`" in str(refusal(table_of(f"date,{name},OT", *rows[:5], f"{HOURS[5]},x,1"), window))
    assert f"`{name}`" in str(refusal(table_of(f"date,{name},OT", *rows[:5], f"{HOURS[5]},,1"), window))
    assert f"`{name}`" in str(refusal(table_of("date,load,OT", *rows), window))
    assert f"`{name}`" in str(refusal(table_of(f"{name},load,OT", *rows), WindowParams()))
    with pytest.raises(SeriesError, match="two columns are named") as caught:
        table_of(f"date,{name},{name}", *rows)
    assert f"`{name}`" in str(caught.value)


@pytest.mark.parametrize("cell", ["{kW}", "%s", "{0!r}"])
def test_a_date_with_signs_of_a_format_string_is_only_text(cell: str) -> None:
    """A cell in a message is text, not a format."""
    error = refusal(table_of("load{kW},OT", "2020-01-01,1", f"{cell},2"), WindowParams(), "load{kW}")
    assert error.what == f"'{cell}' is not a time stamp" and error.where.endswith("column `load{kW}`")


def refusal(table: pd.DataFrame, window: WindowParams, date_column: str = "date") -> SeriesError:
    with pytest.raises(SeriesError) as caught:
        check(table, DataParams(date_column=date_column), window)
    return caught.value
