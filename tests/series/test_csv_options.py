"""Each option of data.csv changes how a file is read, or is refused: none is ignored."""

import inspect
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from conftest import check
from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.parameters.data import OUR_DATES, OURS
from timellm_pipeline.series.dates import parse_dates
from timellm_pipeline.series.reading import RawFile, read_table

PLAIN = "date,load,OT\n2020-03-05,1,0.5\n2020-03-06,2,1.5\n"
# A value of each option, and a file that is read in another way without it.
EXAMPLES: dict[str, tuple[Any, str]] = {
    "sep": ("|", PLAIN.replace(",", "|")),
    "delimiter": ("|", PLAIN.replace(",", "|")),
    "header": (1, "a note\n" + PLAIN),
    "names": (["date", "a", "b"], PLAIN),
    "usecols": (["date", "OT"], PLAIN),
    "dtype": ({"load": "float64"}, PLAIN),
    "engine": ("python", PLAIN.replace("0.5", "123456789012345678901234567890")),
    "true_values": (["on"], PLAIN.replace("0.5", "on").replace("1.5", "False")),
    "false_values": (["off"], PLAIN.replace("0.5", "off").replace("1.5", "True")),
    "skipinitialspace": (True, PLAIN.replace(",", ", ")),
    "skiprows": ([1], PLAIN),
    "skipfooter": (1, PLAIN),
    "na_values": (["2"], PLAIN),
    "keep_default_na": (False, PLAIN.replace("0.5", "NA")),
    "na_filter": (False, PLAIN.replace("0.5", "NA")),
    "date_format": ("%Y-%d-%m", PLAIN),
    "dayfirst": (True, PLAIN.replace("2020-03-05", "05/03/2020").replace("2020-03-06", "06/03/2020")),
    "thousands": (",", PLAIN.replace("0.5", '"1,000"')),
    "decimal": (",", PLAIN.replace("0.5", '"0,5"').replace("1.5", '"1,5"')),
    "lineterminator": ("~", PLAIN.replace("\n", "~")),
    "quotechar": ("'", PLAIN.replace("0.5", "'0.5'")),
    "quoting": (3, PLAIN.replace("0.5", '"0.5"')),
    "doublequote": (False, PLAIN.replace("0.5", '"a""b"')),
    "escapechar": ("\\", PLAIN.replace("0.5", "0\\,5")),
    "comment": ("#", "# a note\n" + PLAIN),
    "encoding": ("cp1252", PLAIN.replace("OT", "été")),
    "encoding_errors": ("ignore", PLAIN.replace("OT", "\x81été")),  # neither UTF-8, GB 18030 nor cp1252
    "dialect": ("excel-tab", PLAIN.replace("load", "lo\tad")),
    "on_bad_lines": ("skip", PLAIN + "2020-03-07,1,2,3\n"),
    "dtype_backend": ("numpy_nullable", PLAIN),
}


def outcome(text: str, csv: dict[str, Any]) -> str:
    """What a file of this text is read as, or the error."""
    data = DataParams(csv=csv)
    encoding = "latin-1" if csv.get("encoding_errors") or "\x81" in text else "utf-8"
    try:
        table = read_table(RawFile("some file.csv", text.encode(encoding)), data)
        dates = parse_dates(table["date"], data, "some file.csv").stamps if "date" in table else None
    except SeriesError as error:
        return str(error)
    return f"{table.to_dict('list')} {table.dtypes.tolist()} {dates}"


def test_every_option_that_is_accepted_has_an_example() -> None:
    """A new version of pandas may bring an option that has no effect here."""
    assert set(EXAMPLES) == set(inspect.signature(pd.read_csv).parameters) - OURS - OUR_DATES - {"float_precision"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_option_changes_how_a_file_is_read(name: str) -> None:
    """An option without effect leaves a person with a file that is read in another way than it was set."""
    value, text = EXAMPLES[name]
    with_it = outcome(text, {name: value})
    assert "cannot be read" not in with_it and "no row below" not in with_it and "decode" not in with_it
    assert with_it != outcome(text, {})


@pytest.mark.parametrize(
    "options",
    [
        {"index_col": 0},
        {"converters": {"OT": "float"}},
        {"low_memory": True},
        {"nrows": 5},
        {"parse_dates": ["date"]},
        {"cache_dates": True},
        {"float_precision": "high"},
        {"engine": "pyarrow"},
        {"engine": None},
        {"on_bad_lines": "warn"},
        {"quoting": 7},
        {"quoting": True},
        {"doublequote": "no"},
        {"dtype_backend": "polars"},
        {"dialect": "klingon"},
        {"header": [0, 1]},
        {"header": True},
        {"skiprows": True},
        {"skiprows": [1, "x"]},
        {"skiprows": "1"},
        {"skiprows": -1},
        {"dayfirst": True, "date_format": "%d/%m/%Y"},
    ],
    ids=str,
)
def test_an_option_without_effect_is_refused_by_name(options: dict[str, Any]) -> None:
    """pandas, or the way in which it is called, ignores it or answers with a message about something else."""
    with pytest.raises(ValidationError) as caught:
        DataParams(csv=options)
    assert next(iter(options)) in str(caught.value)


@pytest.mark.parametrize("name", ["dtype", "na_values"])
def test_an_option_for_a_column_that_is_not_there_is_refused(name: str) -> None:
    """pandas ignores it."""
    with pytest.raises(SeriesError, match=f"data.csv.{name} names the column `0T`"):
        read_table(RawFile("some file.csv", PLAIN.encode()), DataParams(csv={name: {"0T": "str"}}))


def test_options_that_a_parquet_file_ignores_are_reported(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    """They are set for the CSV file of the same series."""
    path = tmp_path / "a.parquet"
    pd.DataFrame({"date": ["05/03/2020"], "OT": 1.0}).to_parquet(path)
    read_table(RawFile(str(path), path.read_bytes()), DataParams(csv={"sep": ";", "dayfirst": True}))
    assert "data.csv options sep have no effect" in caplog.text


ROWS = [f"2020-01-01 {hour:02d}:00:00,{hour},{hour / 2}" for hour in range(12)]
HEADER = "date,load,OT"


@pytest.mark.parametrize(
    ("csv", "before", "after_header"),
    [
        ({}, [], []),
        ({"skiprows": 2}, ["a", "b"], []),
        ({"skiprows": 2}, ["", "b"], []),
        ({"header": 2}, ["a", "b"], []),
        ({"skiprows": 1, "header": 1}, ["a", "b"], []),
        ({"skiprows": [1]}, [], ["unit,kW,C"]),
        ({"skiprows": [3, 2, 0]}, ["a"], ["unit,kW,C", "mean,1,2"]),
        ({"skiprows": 1, "names": ["date", "load", "OT"]}, [], []),
    ],
    ids=str,
)
@pytest.mark.parametrize("what", ["date", "value", "repeated", "gap"])
def test_errors_name_the_line_of_the_file_behind_skipped_rows(
    csv: dict[str, Any], before: list[str], after_header: list[str], what: str
) -> None:
    """With three lines of notes above the header every message was three lines off."""
    rows = list(ROWS)
    rows[8] = {
        "date": "yesterday,1,2",
        "value": "2020-01-01 08:00:00,x,2",
        "repeated": "2020-01-01 06:00:00,1,3",
        "gap": "2020-01-01 08:30:00,1,2",
    }[what]
    lines = [*before, HEADER, *after_header, *rows]
    data = DataParams(csv=csv)
    table = read_table(RawFile("some file.csv", "\n".join(lines).encode()), data)
    with pytest.raises(SeriesError) as caught:
        check(table, data)
    assert f"line {lines.index(rows[8]) + 1}" in caught.value.where


@pytest.mark.parametrize("csv", [{"skiprows": 2}, {"header": 2}, {"skiprows": 2, "header": None}])
def test_separators_are_detected_behind_skipped_rows(csv: dict[str, Any]) -> None:
    """The notes above the header are sentences, with commas."""
    text = "a note, with a comma\nanother, longer, note\n" + "\n".join([HEADER, *ROWS]).replace(",", ";")
    assert read_table(RawFile("some file.csv", text.encode()), DataParams(csv=csv)).shape[1] == 3
