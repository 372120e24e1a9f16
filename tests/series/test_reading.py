"""Files as people have them are read, or refused with one clear error."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.reading import MOST_COLUMNS, RawFile, read_table

STAMPS = [f"2020-01-01 {hour:02d}:00:00" for hour in range(6)]
PLAIN = "date,HUFL,OT\n" + "".join(f"{stamp},{n},{n / 2}\n" for n, stamp in enumerate(STAMPS))
WIDE = (",".join(f"c{n}" for n in range(5002)) + "\n" + "1," * 5001 + "1\n").encode()
SEMICOLON = PLAIN.replace(",", ";").replace(".", ",")


def read(content: bytes, **options: object) -> pd.DataFrame:
    return read_table(RawFile("some file.csv", content), DataParams(csv=options))


def refusal(content: bytes, **options: object) -> SeriesError:
    with pytest.raises(SeriesError) as caught:
        read(content, **options)
    assert caught.value.where.startswith("some file.csv") and caught.value.do
    return caught.value


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n").encode(),
        (PLAIN + "\n\r\n  \n").encode(),
        gzip.compress(PLAIN.encode()),
        PLAIN.replace("0,0.0", '"0","0.0"').encode(),
        PLAIN.replace(",", "\t").encode(),
        SEMICOLON.encode(),
        b",date,HUFL,OT\n" + "".join(f"{n},{s},{n},{n / 2}\n" for n, s in enumerate(STAMPS)).encode(),
    ],
    ids=["utf-8", "bom", "utf-16", "utf-16-be", "crlf", "blank-end", "gzip", "quoted", "tabs", "semicolons", "index"],
)
def test_the_same_table_comes_out_of_every_form(content: bytes) -> None:
    """Each of these is what some spreadsheet or library writes."""
    table = read(content)
    assert table.columns.tolist() == ["date", "HUFL", "OT"]
    assert table["date"].tolist() == STAMPS
    np.testing.assert_array_equal(table["OT"], np.arange(6) / 2)


def test_parquet_is_read_with_its_index(tmp_path: Path) -> None:
    """A series kept by other tools often has its stamps there."""
    frame = pd.DataFrame({"OT": np.arange(6.0)}, index=pd.to_datetime(STAMPS))
    frame.to_parquet(tmp_path / "a.parquet")
    table = read((tmp_path / "a.parquet").read_bytes())
    assert table.columns.tolist() == ["date", "OT"]
    assert "corrupt" in refusal((tmp_path / "a.parquet").read_bytes()[:100]).what


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("日期,负荷,油温", "gb18030"),
        ("date,température,été", "latin-1"),
        ("date,Größe,OT", "latin-1"),
        ("日期,负荷,油温", "utf-8"),
    ],
)
def test_chinese_and_accented_headers_are_read_and_the_guess_is_logged(
    header: str, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Spreadsheets on a Chinese or a French Windows write not UTF-8."""
    table = read(PLAIN.replace("date,HUFL,OT", header).encode(encoding))
    assert table.columns.tolist() == header.split(",")
    assert ("not UTF-8" in caplog.text) == (encoding != "utf-8")


def test_options_of_pandas_pass_through(caplog: pytest.LogCaptureFixture) -> None:
    """What the file does not determine must be a parameter."""
    content = "# comment\ndate|OT\n" + "".join(f"{stamp}|1.{n}00,5\n" for n, stamp in enumerate(STAMPS))
    table = read(content.encode(), sep="|", thousands=".", decimal=",", skiprows=1)
    assert table["OT"].tolist() == [1000.5 + 100 * n for n in range(6)]
    with pytest.raises(ValidationError, match="not options of pandas"):
        DataParams(csv={"seperator": ";"})
    with pytest.raises(ValidationError, match="not options of pandas"):
        DataParams(csv={"nrows": 5})


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        (b"", "the file is empty", ""),
        (b"\n\n", "the file is empty", ""),
        (b"date,OT\n", "a header but no rows", ""),
        (b"date,OT\n1,2\n1,2,3\n", "cannot read the file as CSV", ", line 3"),
        (b"date,OT,OT\n1,2,3\n", "two columns are named `OT`", ", header"),
        (b"a\x00\x01\x02date\n\x00", "zero bytes", ""),
        (gzip.compress(PLAIN.encode())[:40], "this gzip file is corrupt", ""),
        (
            ("date," + ",".join(f"c{n}" for n in range(5001)) + "\n" + "1," * 5001 + "1\n").encode(),
            "5,002 columns",
            ", header",
        ),
    ],
    ids=["nothing", "blank", "header", "ragged", "double", "zeros", "gzip", "wide"],
)
def test_what_is_no_table_is_refused(content: bytes, what: str, where: str) -> None:
    """pandas' own messages name neither the file nor what to do."""
    error = refusal(content)
    assert what in error.what and error.where == f"some file.csv{where}"
    assert MOST_COLUMNS == 5_000


def test_a_wrong_encoding_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A codec's own error names a byte."""
    assert "cannot decode the file as ascii" in refusal("日期,OT\n1,2\n".encode(), encoding="ascii").what
    with pytest.raises(ValidationError, match="'klingon' is not a text encoding"):
        DataParams(csv={"encoding": "klingon"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sep": 5}, "sep is 5; write a quoted string"),
        ({"encoding": 5}, "encoding is 5"),
        ({"decimal": ".."}, "write one character"),
        ({"date_format": "%q"}, "is not a format"),
        ({"date_format": "%H:%M"}, "has no year"),
        ({"dayfirst": "yes"}, "write true or false"),
        ({"parse_dates": ["date"]}, "dates are parsed later"),
        ({"low_memory": True}, "are not options"),
        ({"skiprows": 10**9}, "skiprows is 1000000000; write 0 to 1,000,000"),
        ({"skipfooter": -1}, "skipfooter is -1"),
    ],
)
def test_an_option_that_cannot_work_is_refused_as_a_parameter(options: dict[str, Any], message: str) -> None:
    """pandas ignored some of them, and answered others with a traceback."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        DataParams(csv=options)


@pytest.mark.parametrize("options", [{"engine": "python"}, {"skipfooter": 1}, {"sep": "[,;]"}, {"sep": None}])
def test_pandas_other_parser_works(options: dict[str, Any]) -> None:
    """It failed on an option that is ours."""
    assert len(read(PLAIN.encode(), **options)) == 6 - options.get("skipfooter", 0)


def test_a_repeated_name_is_found_behind_skipped_rows() -> None:
    """pandas would name the second one OT.1."""
    content = b"a note\ndate,OT,OT\n1,2,3\n"
    for options in ({"skiprows": 1}, {"header": 1}):
        assert "two columns are named `OT`" in refusal(content, **options).what
    assert "two columns are named `NA`" in refusal(b"date,NA,NA\n1,2,3\n").what


def test_a_header_with_a_line_break_in_quotes_is_one_name() -> None:
    """Spreadsheets write the unit below the name."""
    assert read(PLAIN.replace("OT", '"Load\n(kW)"').encode()).columns.tolist() == ["date", "HUFL", "Load\n(kW)"]


def test_parquet_in_a_gzip_file_is_read() -> None:
    """`the text contains zero bytes` names neither."""
    made = io.BytesIO()
    pd.DataFrame({"date": STAMPS, "OT": 1.0}).to_parquet(made)
    assert len(read(gzip.compress(made.getvalue()))) == 6


def packed(**members: str) -> bytes:
    """A zip file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), text)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (packed(xl__workbook_xml="<workbook/>"), "an Excel workbook (.xlsx)"),
        (packed(series_csv=PLAIN), "a zip archive (.zip)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "an old Excel workbook"),
        (lzma.compress(PLAIN.encode()), "an xz archive"),
        (bz2.compress(PLAIN.encode()), "a bzip2 archive"),
        (gzip.compress(bz2.compress(PLAIN.encode())), "a bzip2 archive (.bz2) in a gzip file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG image"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"SQLite format 3\x00", "an SQLite database"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00", "a Python pickle"),
        (b"<!DOCTYPE html><html><body>404", "an HTML page"),
        (b'[{"date": "2020-01-01", "OT": 1}]', "a JSON file"),
        (b"ARROW1\x00\x00", "an Arrow or Feather file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_format_is_named_with_the_way_to_a_csv(content: bytes, name: str) -> None:
    """'cannot decode as cp1252' says nothing to somebody who gave a workbook."""
    error = refusal(content)
    assert name in error.what and "not a CSV or Parquet file" in error.what and error.do


def test_a_small_file_that_holds_gigabytes_is_refused_before_it_is_unpacked() -> None:
    """13 MB of gz held 5.5 GB; 3 MB of Parquet held 400 million rows."""
    bomb = gzip.compress(b"date,OT\n" + b"2020-01-01,1\n" * 200_000)
    with pytest.raises(SeriesError, match="contains more than 0.001 GB") as caught:
        read_table(RawFile("bomb.gz", bomb), DataParams(max_gigabytes=0.001))
    assert "data.max_gigabytes" in caught.value.do
    made = io.BytesIO()
    pd.DataFrame({"date": "2020-01-01", "OT": np.zeros(200_000)}).to_parquet(made)
    with pytest.raises(SeriesError, match="at most 0.001 GB are read"):
        read_table(RawFile("bomb.parquet", made.getvalue()), DataParams(max_gigabytes=0.001))
    two = gzip.compress(PLAIN[:40].encode()) + gzip.compress(PLAIN[40:].encode())
    assert len(read_table(RawFile("two.gz", two), DataParams())) == 6, "two members, one after the other"


def test_an_empty_line_in_the_middle_keeps_its_number() -> None:
    """Skipped, it would shift the line that every later error names."""
    table = read(PLAIN.replace("2020-01-01 03", "\n2020-01-01 03").encode())
    assert len(table) == 7 and table.iloc[3].isna().all()
    frame = io.StringIO(PLAIN)
    assert len(pd.read_csv(frame)) == 6


def parquet(frame: pd.DataFrame) -> bytes:
    made = io.BytesIO()
    frame.to_parquet(made)
    return made.getvalue()


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (
            pd.DataFrame({"date": STAMPS, "OT": 1.0}, index=pd.DatetimeIndex(STAMPS, name="date")),
            "time stamps in the index and also a column `date`",
        ),
        (
            pd.DataFrame({"OT": 1.0}, index=pd.MultiIndex.from_product([["a"], STAMPS], names=["id", "date"])),
            "an index of 2 levels (`id`, `date`)",
        ),
        (pd.DataFrame({"date": STAMPS, "OT": [[1]] * 6}), "column `OT` has nested values"),
        (pd.DataFrame(index=range(6)), "no columns"),
        (pd.DataFrame(np.zeros((2, 5_100)), columns=[f"c{n}" for n in range(5_100)]), "5,100 columns"),
    ],
    ids=["index and column", "two levels", "nested", "none", "wide"],
)
def test_a_parquet_table_that_is_no_series_is_named(frame: pd.DataFrame, what: str) -> None:
    """pandas' own errors, or a missing column `date`, leave the reason to be guessed."""
    assert what in refusal(parquet(frame)).what


def test_a_long_text_that_a_dictionary_holds_once_counts_in_every_row() -> None:
    """20 KB of Parquet become 2 GB of text."""
    small = parquet(pd.DataFrame({"date": STAMPS * 100, "note": "x" * 100_000}))
    assert len(small) < 50_000
    with pytest.raises(SeriesError, match="takes 0.1 GB; at most 0.01 GB"):
        read_table(RawFile("some file.parquet", small), DataParams(max_gigabytes=0.01))


@pytest.mark.parametrize("place", range(4, 2_000, 37))
def test_a_corrupt_parquet_file_is_one_error_or_a_table(place: int) -> None:
    """pyarrow raises a dozen kinds of errors."""
    content = bytearray(parquet(pd.DataFrame({"date": STAMPS, "OT": np.arange(6.0)})))
    content[place % len(content)] ^= 0xFF
    try:
        read(bytes(content))
    except SeriesError as error:
        assert error.what and error.do
