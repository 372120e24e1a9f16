"""A large CSV that is read in chunks gives the table that pandas reads at once."""

import io
from functools import partial
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timellm_pipeline.parameters import parse_parameters
from timellm_pipeline.series import reading
from timellm_pipeline.series.csv_chunks import read_in_chunks
from timellm_pipeline.series.reading import RawFile, read_table

DATE = "2020-01-01 0{}:00:00"
CELLS = st.sampled_from(["1", "2.5", "", "-3e5", "word", "NaN", "True", "00", "9007199254740993", '"a,b"', "inf", "1 "])


def at_once(content: bytes, **options: Any) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content), index_col=False, skip_blank_lines=False, low_memory=False, **options)


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), size=st.integers(1, 5))
def test_chunks_give_the_table_that_is_read_at_once_or_are_not_used(rows: list[tuple[str, str]], size: int) -> None:
    """Whatever the cells are: the values, and the dtypes, which decide what a message says."""
    content = ("a,b\n" + "".join(f"{one},{other}\n" for one, other in rows)).encode()
    found = read_in_chunks(content, {"low_memory": False}, small=0, rows=size)
    if found is not None:
        pd.testing.assert_frame_equal(found, at_once(content))


@pytest.mark.parametrize(
    ("cells", "is_used"),
    [
        (["1.5", "2.5", "3.5", "4.5"], True),
        (["1", "2", "3.5", "4"], True),
        (["1", "", "3", "4"], True),
        (["x", "y", "z", "w"], True),
        (["1", "2", "x", "4"], False),
        (["9007199254740993", "2", "3.5", "4"], False),
        (["True", "False", "True", "True"], False),
        (["x", "y", "", ""], False),
    ],
)
def test_chunks_are_used_if_all_of_them_have_the_values_of_the_complete_column(cells: list[str], is_used: bool) -> None:
    """Numbers and text are; a word among numbers is not, because the numbers of its column would be text."""
    content = ("a,b\n" + "".join(f"{cell},1\n" for cell in cells)).encode()
    found = read_in_chunks(content, {"low_memory": False}, small=0, rows=2)
    assert (found is not None) == is_used
    if found is not None:
        pd.testing.assert_frame_equal(found, at_once(content))


@pytest.mark.parametrize(
    ("text", "csv"),
    [
        ("date;OT\n" + "".join(f"{DATE.format(n)};{n},5\n" for n in range(9)), {}),
        ("date\tOT\n" + "".join(f"{DATE.format(n)}\t{n}\n" for n in range(9)), {}),
        ("\ufeffdate,OT\r\n" + "".join(f"{DATE.format(n)},{n}.25\r\n" for n in range(9)) + "\r\n\r\n", {}),
        ("\n\ndate,温度\n" + "".join(f'"{DATE.format(n)}","{n}"\n' for n in range(9)), {}),
        ("# a\ndate,OT\n" + "".join(f"{DATE.format(n)},{n}\n" for n in range(9)), {"skiprows": 1}),
        ("date,OT\n" + "".join(f"{DATE.format(n)},1.{n}e300\n" for n in range(9)), {}),
        (",date,OT\n" + "".join(f"{n},{DATE.format(n)},{n}\n" for n in range(9)), {}),
        ("date,OT\n" + "".join(f"{DATE.format(n)},{'' if n == 4 else n}\n" for n in range(9)), {}),
        ("date,OT\n" + "".join(f"{DATE.format(n)},1{n},000\n" for n in range(9)), {}),
        (
            "date,OT\n"
            + "".join(f"{DATE.format(n)},{n},9\n" if n == 7 else f"{DATE.format(n)},{n}\n" for n in range(9)),
            {},
        ),
    ],
)
def test_odd_files_are_read_alike_in_chunks(text: str, csv: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Separators, marks, quotes, an index column, gaps; and the same error for a row with too many fields."""
    raw, data = RawFile("a.csv", text.encode()), parse_parameters({"data": {"csv": csv}}).data

    def read() -> pd.DataFrame | str:
        try:
            return read_table(raw, data)
        except Exception as error:
            return str(error)

    expected = read()
    monkeypatch.setattr(reading, "read_in_chunks", partial(read_in_chunks, small=0, rows=2))
    found = read()
    if isinstance(expected, str):
        assert found == expected
    else:
        assert isinstance(found, pd.DataFrame)
        pd.testing.assert_frame_equal(found, expected)


def test_the_end_of_a_large_text_is_no_row() -> None:
    """With another end of line, a newline at the end of the file would be a value."""
    text = "date,OT;" + "".join(f"{DATE.format(n % 9)},{n}.0000000000;" for n in range(40_000)) + "\n"
    data = parse_parameters({"data": {"csv": {"lineterminator": ";"}}}).data
    table = read_table(RawFile("a.csv", text.encode()), data)
    assert len(text) > reading.SAMPLE and len(table) == 40_000 and table["OT"].dtype == float
