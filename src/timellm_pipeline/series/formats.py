"""Detection of file formats other than CSV and Parquet by their first bytes.

The error message names the format (a workbook, an archive, the error page of a failed download) and how to convert it
to CSV. Without this check the user would get a decoding error for a binary file.
"""

import json
import re
from typing import NamedTuple

from timellm_pipeline.errors import SeriesError, shown

SAMPLE = 65_536  # bytes that are inspected as text
PARQUET, GZIP = b"PAR1", b"\x1f\x8b"


class Format(NamedTuple):
    """Name of a file format, and how to convert it to CSV or Parquet."""

    name: str
    do: str


TABLE = "export the table as CSV, with a header and one row per time stamp"
EXCEL = "save it as CSV (in Excel: Save As, CSV UTF-8)"
OFFICE = "save its table as CSV (Save As, Text CSV)"
UNPACK = "unpack it and give the path of the CSV file inside"
PYTHON = "load it in Python and write it with DataFrame.to_csv or DataFrame.to_parquet"
NO_TABLE = "give the path of a CSV or Parquet file"
DOWNLOAD = "this is often the error or login page of a download: download the file again, and open it in a text editor"

STARTS: tuple[tuple[bytes, Format], ...] = (
    (GZIP, Format("a gzip file", UNPACK)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format("an old Excel workbook (.xls) or another Office file", EXCEL)),
    (b"\xfd7zXZ\x00", Format("an xz archive (.xz)", UNPACK)),
    (b"\x28\xb5\x2f\xfd", Format("a Zstandard archive (.zst)", UNPACK)),
    (b"\x04\x22\x4d\x18", Format("an LZ4 archive (.lz4)", UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Format("a 7-Zip archive (.7z)", UNPACK)),
    (b"Rar!\x1a\x07", Format("a RAR archive (.rar)", UNPACK)),
    (b"\x89PNG\r\n\x1a\n", Format("a PNG image (.png)", NO_TABLE)),
    (b"\xff\xd8\xff", Format("a JPEG image (.jpg)", NO_TABLE)),
    (b"GIF87a", Format("a GIF image (.gif)", NO_TABLE)),
    (b"GIF89a", Format("a GIF image (.gif)", NO_TABLE)),
    (b"%PDF-", Format("a PDF document (.pdf)", "get the data as CSV from the source of the document")),
    (b"\x89HDF\r\n\x1a\n", Format("an HDF5 file (.h5, .nc, .mat)", PYTHON)),
    (b"MATLAB 7.3 MAT-file", Format("a MATLAB file (.mat, version 7.3)", "use writetable in MATLAB to write CSV")),
    (b"MATLAB 5.0 MAT-file", Format("a MATLAB file (.mat, version 5)", "use writetable in MATLAB to write CSV")),
    (b"SQLite format 3\x00", Format("an SQLite database (.sqlite, .db)", "export the table as CSV from the database")),
    (b"ARROW1\x00\x00", Format("an Arrow or Feather file (.arrow, .feather)", PYTHON)),
    (b"FEA1", Format("a Feather file (.feather, version 1)", PYTHON)),
    (b"\xff\xff\xff\xff", Format("an Arrow stream (.arrows)", PYTHON)),
    (b"Obj\x01", Format("an Avro file (.avro)", PYTHON)),
    (b"\x93NUMPY", Format("a NumPy array (.npy)", PYTHON)),
    (b"RDX2\n", Format("an R workspace (.RData)", "use write.csv in R")),
    (b"RDX3\n", Format("an R workspace (.RData)", "use write.csv in R")),
    (b"<stata_dta>", Format("a Stata file (.dta)", PYTHON)),
    (b"$FL2@(#)", Format("an SPSS file (.sav)", PYTHON)),
    (b"PARE", Format("an encrypted Parquet file", "write it without encryption")),
)
# Names of archive members (they are not compressed) that identify the format of a zip file.
MEMBERS: tuple[tuple[bytes, Format], ...] = (
    (b"xl/workbook.bin", Format("an Excel workbook (.xlsb)", EXCEL)),
    (b"xl/workbook", Format("an Excel workbook (.xlsx)", EXCEL)),
    (b"xl/worksheets/", Format("an Excel workbook (.xlsx)", EXCEL)),
    (b"word/document", Format("a Word document (.docx)", OFFICE)),
    (b"ppt/presentation", Format("a PowerPoint presentation (.pptx)", OFFICE)),
    (b"application/vnd.oasis.opendocument.spreadsheet", Format("an OpenDocument spreadsheet (.ods)", OFFICE)),
    (b"application/vnd.oasis.opendocument.text", Format("an OpenDocument text (.odt)", OFFICE)),
    (b"META-INF/manifest.xml", Format("an OpenDocument file (.ods, .odt)", OFFICE)),
    (b"Index/Document.iwa", Format("an Apple Numbers document (.numbers)", "in Numbers: File, Export To, CSV")),
    (b"/data.pkl", Format("a PyTorch file (.pt, .pth)", PYTHON)),
    (b".npyPK", Format("a NumPy archive (.npz)", PYTHON)),
    (b".npy\x93NUMPY", Format("a NumPy archive (.npz)", PYTHON)),
)
ZIPS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)")
PICKLE = re.compile(
    rb"\x80(\x02|\x03)[\]}()cXKJGMNqUBC\x85-\x8b]|\x80(\x04|\x05)(\x95.{6}\x00\x00|[KMJNGX\x8c\x88\x89\x8f)\]}])", re.S
)
HTML = re.compile(r"<(!doctype html|html|head|body|script|!--.{0,2000}?<html)\b", re.IGNORECASE | re.DOTALL)
JSON_START = re.compile(r'\{\s*"|\[\s*[\[{]\s*["\d\-]')


def refuse_other_formats(content: bytes, path: str, inside: str = "") -> None:
    """Raise SeriesError with the name of the format if a file is neither CSV nor Parquet.

    Args:
        content: bytes of the file, or decompressed bytes of a gzip file.
        path: path of the file, for the message.
        inside: container of `content` for the message, such as ` in a gzip file`.
    """
    found = find_format(content)
    if found is not None:
        raise SeriesError(f"this is {found.name}{inside}, not a CSV or Parquet file", where=path, do=found.do)


def find_format(content: bytes) -> Format | None:
    """Format of a file that is neither CSV nor Parquet; None for text and for unknown formats."""
    by_start = next((found for start, found in STARTS if content.startswith(start)), None)
    if by_start is not None:
        return by_start
    if content.startswith(ZIPS):
        return _zip_format(content)
    patterns = (
        (BZIP2.match(content), "a bzip2 archive (.bz2)", UNPACK),
        (content[257:262] == b"ustar", "a tar archive (.tar)", UNPACK),
        # A CSV header may also start with these three letters.
        (content[:3] == b"ORC" and b"\x00" in content[:SAMPLE], "an ORC file (.orc)", PYTHON),
        (PICKLE.match(content), "a Python pickle (.pkl)", PYTHON),
    )
    return next((Format(name, do) for found, name, do in patterns if found), None) or _text_format(content)


def is_parquet(content: bytes) -> bool:
    """Whether the bytes are a Parquet file. `PAR1` alone is not enough: a CSV header may start with it."""
    return content[:4] == PARQUET and (content[-4:] == PARQUET or any(byte < 9 for byte in content[4:SAMPLE]))


def _zip_format(content: bytes) -> Format:
    for member, found in MEMBERS:
        if member in content:
            return found
    csv = re.search(rb"[\w ./-]{1,200}\.(csv|txt|tsv|parquet)(?![\w.])", content, re.IGNORECASE)
    do = f"unpack it and give the path of the file inside, `{shown(csv.group().decode())}`" if csv else UNPACK
    return Format("a zip archive (.zip)", do)


def _text_format(content: bytes) -> Format | None:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = content[:SAMPLE].decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n")
    if HTML.match(text):
        return Format("an HTML page", DOWNLOAD)
    if text[:5].lower() == "<?xml":
        return Format("an HTML page", DOWNLOAD) if "<html" in text.lower() else Format("an XML file", TABLE)
    if _is_json(text, cut=len(content) > SAMPLE):
        return Format("a JSON file", "write it as CSV, in Python with pandas.read_json and DataFrame.to_csv")
    return None


def _is_json(text: str, cut: bool) -> bool:
    """Whether text is JSON or JSON lines, or the start of it if the sample was cut."""
    if not text.startswith(("{", "[")):
        return False
    if JSON_START.match(text):
        return True
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        return cut and (error.pos >= len(text) - 16 or error.msg.startswith("Unterminated"))
    except (ValueError, RecursionError):  # a number with thousands of digits, or thousands of nested brackets
        return True
    return not text[end:].split("\n", 1)[0].strip()
