"""Hostile raw files: other formats, sizes, paths, and odd CSV; and what the other files of cases are made with."""

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import socket
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import attack_harness as harness
from attack_harness import Case, Outcome, Place

Content = bytes | Callable[[Place], None]


def good(num_rows: int = 400) -> str:
    """A good CSV: hourly, two channels."""
    lines = ["date,load,OT"]
    for row in range(num_rows):
        day, hour = divmod(row, 24)
        load = 10 + hour % 12 * 0.7 + row % 7 * 0.31 + row * 0.001
        month, day = (1, day + 1) if day < 31 else (2, day - 30)
        lines.append(f"2020-{month:02d}-{day:02d} {hour:02d}:00:00,{load:.3f},{20 + load / 3 + row % 5 * 0.2:.3f}")
    return "\n".join(lines) + "\n"


GOOD = good()
LINES = GOOD.splitlines()


def line(number: int, text: str) -> str:
    """The good file with one line replaced, counted from 1."""
    return "\n".join([*LINES[: number - 1], text, *LINES[number:]]) + "\n"


def cell(text: str, number: int = 9) -> str:
    """The good file with one target value replaced."""
    return line(number, LINES[number - 1].rsplit(",", 1)[0] + "," + text)


def dates(made: Callable[[int], str]) -> str:
    """The good file with other time stamps."""
    return "\n".join([LINES[0], *(f"{made(n)},{one.split(',', 1)[1]}" for n, one in enumerate(LINES[1:]))]) + "\n"


def named(name: str) -> str:
    """The good file with a channel of this name, quoted."""
    return GOOD.replace("load", '"' + name.replace('"', '""') + '"', 1)


def frame() -> Any:
    """The good file as a table."""
    import pandas as pd

    return pd.read_csv(io.StringIO(GOOD), parse_dates=["date"])


def parquet(change: Callable[[Any], Any], **options: Any) -> Content:
    """A Parquet file of the good table, changed."""

    def write(place: Place) -> None:
        change(frame()).to_parquet(place.csv, **options)

    return write


def given(**params: Any) -> dict[str, Any]:
    """Parameters, with two underscores for a dot."""
    return {name.replace("__", "."): value for name, value in params.items()}


def put(place: Place, content: Content | str) -> None:
    """Write the raw file."""
    if callable(content):
        content(place)
    else:
        place.csv.write_bytes(content if isinstance(content, bytes) else content.encode())


def refused(
    group: str,
    name: str,
    content: Content | str,
    *says: str,
    params: Mapping[str, Any] | None = None,
    never: tuple[str, ...] = (),
    pipeline: str = "data",
    memory: float = 10.0,
) -> Case:
    """An input that must be refused; afterwards a good one must work."""

    def check(place: Place) -> None:
        put(place, content)
        place.refuse(place.run(pipeline, params, memory=memory), *says, never=(*never, r"np\.\w+64\("))

    return Case("input", group, name, check)


def works(
    group: str,
    name: str,
    content: Content | str,
    *says: str,
    params: Mapping[str, Any] | None = None,
    never: tuple[str, ...] = (),
    pipeline: str = "data",
    then: Callable[[Place, Outcome], None] | None = None,
) -> Case:
    """An input that must work, with a log that matches `says`."""

    def check(place: Place) -> None:
        put(place, content)
        outcome = place.work(place.run(pipeline, params), *says, never=never)
        if then is not None:
            then(place, outcome)

    return Case("input", group, name, check)


def either(group: str, name: str, content: Content | str, params: Mapping[str, Any] | None = None) -> Case:
    """An input that may work or be refused, in three lines."""

    def check(place: Place) -> None:
        put(place, content)
        place.either(place.run("data", params))

    return Case("input", group, name, check)


# ── files that are no table


def zipped(names: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred() -> bytes:
    """A tar archive of the good file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("series.csv")
        entry.size = len(GOOD)
        archive.addfile(entry, io.BytesIO(GOOD.encode()))
    return buffer.getvalue()


def sqlite() -> bytes:
    """A SQLite database."""
    with closing(sqlite3.connect(":memory:")) as base:
        base.execute("create table series (date text, OT real)")
        return base.serialize()


def write_feather(place: Place) -> None:
    """An Arrow file."""
    frame().to_feather(place.csv)


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SHEET = {"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>", "xl/worksheets/sheet1.xml": b"<s/>"}
FORMATS: list[tuple[str, Content, str]] = [
    ("xlsx", zipped(SHEET), "excel|xlsx"),
    ("xls", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000), "excel|xls|office"),
    ("ods", zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}), "zip|opendocument|ods"),
    ("zip", zipped({"series.csv": GOOD.encode()}), "zip"),
    ("xz", lzma.compress(GOOD.encode()), "xz"),
    ("bz2", bz2.compress(GOOD.encode()), "bz"),
    ("zstd", bytes.fromhex("28b52ffd") + bytes(200), "zst"),
    ("tar", tarred(), "tar"),
    ("tar.gz", gzip.compress(tarred()), "tar"),
    ("7z", bytes.fromhex("377abcaf271c") + bytes(200), "7-?z"),
    ("rar", b"Rar!\x1a\x07\x01\x00" + bytes(200), "rar"),
    ("PNG", base64.b64decode(PIXEL), "png|image"),
    ("JPEG", bytes.fromhex("ffd8ffe000104a464946") + bytes(200), "jpe?g|image"),
    ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "pdf"),
    ("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(200), "hdf"),
    ("SQLite", sqlite(), "sqlite"),
    ("pickle", pickle.dumps({"date": [1], "OT": [2.0]}), "pickle"),
    ("Arrow", write_feather, "arrow|feather"),
    ("HTML", b"<!DOCTYPE html><html><body><h1>404 Not Found</h1>\n</body></html>\n", "html|web page"),
    ("JSON", json.dumps([{"date": "2020-01-01", "OT": 1.0}]).encode(), "json"),
    ("JSON lines", b'{"date": "2020-01-01", "OT": 1.0}\n' * 100, "json"),
    ("XML", b'<?xml version="1.0"?>\n<rows><row/></rows>\n', "xml"),
    ("NumPy", b"\x93NUMPY\x01\x00" + bytes(200), "numpy|npy"),
    ("ELF", b"\x7fELF\x02\x01\x01" + bytes(200), ""),
    ("zip in gzip", gzip.compress(zipped({"series.csv": GOOD.encode()})), "zip"),
]


def formats() -> Iterator[Case]:
    """Files of other formats are refused by name."""
    for name, content, says in FORMATS:
        yield refused("formats", name, content, *([says] if says else []), never=("no text in", "cannot decode"))


# ── sizes


def gzip_bomb(megabytes: int) -> bytes:
    """Gzip members that hold the good header and then many rows: small on the disk, large in memory."""
    row = ("2020-01-01 00:00:00," + "1" * 60 + ",1.0\n").encode()
    member = gzip.compress(row * (2**20 // len(row) * 10))
    return gzip.compress(b"date,load,OT\n") + member * (megabytes // 10)


def write_parquet_bomb(place: Place) -> None:
    """Equal values: a small file of many rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"date": np.zeros(2_000_000, "datetime64[us]"), "OT": np.zeros(2_000_000)})
    pq.write_table(table, place.csv, compression="zstd")


def sizes() -> Iterator[Case]:
    """What is small on the disk and large in memory is refused before it is unpacked."""
    little = {"data.max_gigabytes": 0.001}
    large = r"gb\b|gigabyte|too large|max_gigabytes"
    not_unknown = ("is not a parameter",)
    yield refused("sizes", "gzip of 40 MB over the limit", gzip_bomb(40), large, params=little, never=not_unknown)
    yield refused(
        "sizes", "Parquet of 32 MB over the limit", write_parquet_bomb, large, params=little, never=not_unknown
    )
    yield refused("sizes", "CSV of 3 MB over the limit", good(700) * 100, params=little, never=not_unknown)
    yield refused("sizes", "gzip of 7 GB, by default", gzip_bomb(7000), large + "|memory", memory=5.0)
    yield works("sizes", "good file under the limit", GOOD, params={"data.max_gigabytes": 0.1})
    yield works("sizes", "good gzip", gzip.compress(GOOD.encode()))
    yield works(
        "sizes", "good gzip in two members", gzip.compress(GOOD[:999].encode()) + gzip.compress(GOOD[999:].encode())
    )
    packed = gzip.compress(GOOD.encode())
    for name, content in {
        "truncated gzip": packed[: len(packed) // 2],
        "gzip without its end": packed[:-8],
        "gzip with a wrong checksum": packed[:-8] + bytes(4) + packed[-4:],
        "gzip of three bytes": packed[:3],
        "gzip with rubbish behind it": packed + b"rubbish",
        "gzip with a damaged middle": packed[:200] + bytes(50) + packed[250:],
    }.items():
        yield refused("sizes", name, content, "gzip")
    yield refused("sizes", "gzip of nothing", gzip.compress(b""), "empty")


# ── paths that are no file


def paths() -> Iterator[Case]:
    """A path that is no readable file is refused at once, and named."""

    def fifo(place: Place) -> None:
        os.mkfifo(place.csv)

    def loop(place: Place) -> None:
        place.csv.symlink_to(place.csv.name)

    def long_loop(place: Place) -> None:
        place.csv.symlink_to("other.csv")
        (place.folder / "other.csv").symlink_to(place.csv.name)

    def dangling(place: Place) -> None:
        place.csv.symlink_to("gone.csv")

    def folder(place: Place) -> None:
        place.csv.mkdir()

    def link(place: Place) -> None:
        (place.folder / "real.csv").write_text(GOOD, encoding="utf-8")
        place.csv.symlink_to("real.csv")

    def unix_socket(place: Place) -> None:
        os.chdir(place.folder)
        with closing(socket.socket(socket.AF_UNIX)) as one:
            one.bind(place.csv.name)

    def nothing(place: Place) -> None:
        place.csv.unlink(missing_ok=True)

    missing = ("no such file", "not exist")
    yield refused("paths", "FIFO", fifo, "pipe|fifo|regular", never=missing)
    yield refused("paths", "link to itself", loop, "link|loop", never=missing)
    yield refused("paths", "two links in a circle", long_loop, "link|loop", never=missing)
    yield refused("paths", "dangling link", dangling, "link|no such file|missing")
    yield refused("paths", "folder", folder, "folder|directory")
    yield refused("paths", "socket", unix_socket, "socket|regular|special", never=missing)
    yield refused("paths", "missing", nothing, "no such file|not exist|missing")
    yield works("paths", "link to a good file", link)
    for device in ("/dev/zero", "/dev/random", "/dev/null", "/dev/tty", "/proc/self/mem"):
        yield refused("paths", device, GOOD, params={"raw_csv": device})
    for name, value in {
        "a name of 300 letters": "/tmp/" + "a" * 300 + ".csv",
        "a path of 5,000 letters": "/tmp/" + "a/" * 2500 + "b.csv",
        "below a file": "/etc/hostname/series.csv",
        "with a zero byte": "/tmp/a\0b.csv",
        "with a line break": "/tmp/a\nError: forged.csv",
        "with escapes": "/tmp/\x1b[31mred.csv",
        "a web address": "https://example.invalid/series.csv",
        "a bucket": "s3://bucket/series.csv",
        "markup": "/tmp/<b>bold</b>.csv",
        "rich markup": "/tmp/[red]x[/red].csv",
        "a format string": "/tmp/{0}%s{x}.csv",
    }.items():
        yield refused("paths", name, GOOD, params={"raw_csv": value})

    def unreadable(place: Place) -> None:
        if os.geteuid() == 0:
            raise harness.Skipped("permissions do not hold for root")
        put(place, GOOD)
        place.csv.chmod(0)

    yield refused("paths", "unreadable", unreadable, "permission")
    for name in (
        "数据/序列 一.csv",
        "a b/c d.csv",
        "[1].csv",
        "{x}.csv",
        "%s.csv",
        "*.csv",
        "-x.csv",
        "~.csv",
        "$HOME.csv",
    ):

        def check(place: Place, name: str = name) -> None:
            place.csv = place.folder / "raw" / name
            place.csv.parent.mkdir(parents=True)
            put(place, GOOD)
            place.work(place.run("data", base={}, params={**harness.SMALL, "raw_csv": str(place.csv), "explain": {}}))

        yield Case("input", "paths", f"good file named {name}", check)


# ── CSV


def wide(columns: int) -> str:
    """A good file of so many channels."""
    head = "date,OT," + ",".join(f"c{n}" for n in range(columns))
    row = ",".join("1" for _ in range(columns))
    return "\n".join([head, *(f"2020-01-0{1 + n // 24} {n % 24:02d}:00:00,{n % 7},{row}" for n in range(100))])


def csv_forms() -> Iterator[Case]:
    """CSV as programs write it, and as it should not be written."""
    table = GOOD.replace("load", "été", 1)
    chinese = GOOD.replace("load", "高负荷", 1).replace("OT", "油温", 1)
    semicolons = GOOD.replace(",", ";").replace(".", ",")
    target = given(window__target="油温")
    g, twice = "csv", "twice|duplicate|two columns"
    double = GOOD.replace("load", "OT", 1)
    indexed = "\n".join([f",{LINES[0]}", *(f"{n},{one}" for n, one in enumerate(LINES[1:]))])
    integers = "\n".join(["date,OT", *(f"2020-01-{1 + n // 24:02d} {n % 24:02d}:00,{n % 24}" for n in range(700))])
    turned = "name," + ",".join(f"2020-01-01 {n:02d}:00" for n in range(24)) + "\nOT" + ",1" * 24
    stamps = "date_format|time stamp|timestamp"
    for name, content, params, says in [
        ("UTF-8 with a mark", GOOD.encode("utf-8-sig"), {}, ""),
        ("UTF-16", GOOD.encode("utf-16"), {}, ""),
        ("UTF-16 big-endian with a mark", b"\xfe\xff" + GOOD.encode("utf-16-be"), {}, ""),
        ("Latin-1 header", table.encode("latin-1"), {}, "cp1252|latin"),
        ("Latin-1, named", table.encode("latin-1"), given(data__csv={"encoding": "latin-1"}), ""),
        ("Chinese", chinese.encode(), target, ""),
        ("GBK", chinese.encode("gb18030"), target, "gb18030"),
        ("CRLF", GOOD.replace("\n", "\r\n"), {}, ""),
        ("CR alone", GOOD.replace("\n", "\r"), {}, ""),
        ("no line end at the end", GOOD.rstrip("\n"), {}, ""),
        ("empty lines at the end", GOOD + "\n\n\n", {}, ""),
        ("zero bytes at the end", GOOD + "\0\0\0", {}, ""),
        ("semicolons and decimal commas", semicolons, {}, "semicolons"),
        ("semicolons and decimal points", GOOD.replace(",", ";"), {}, "semicolons"),
        ("tabs", GOOD.replace(",", "\t"), {}, "tabs"),
        ("bars, named", GOOD.replace(",", "|"), given(data__csv={"sep": "|"}), ""),
        ("quoted numbers", line(9, ",".join(f'"{one}"' for one in LINES[8].split(","))), {}, ""),
        ("all quoted", "\n".join(",".join(f'"{c}"' for c in one.split(",")) for one in LINES), {}, ""),
        ("index of to_csv", indexed, {}, "row numbers"),
        ("comment lines, named", "# made by x\n" + GOOD, given(data__csv={"comment": "#"}), ""),
        ("two lines above the header, named", "a\nb\n" + GOOD, given(data__csv={"skiprows": 2}), ""),
        ("engine=python", GOOD, given(data__csv={"engine": "python"}), ""),
        ("engine=c", GOOD, given(data__csv={"engine": "c"}), ""),
        ("skipfooter=1", GOOD + "total,1,2\n", given(data__csv={"skipfooter": 1, "engine": "python"}), ""),
        ("skipfooter=1 without an engine", GOOD + "total,1,2\n", given(data__csv={"skipfooter": 1}), ""),
        ("thousands, named", cell('"1,234.5"'), given(data__csv={"thousands": ","}), ""),
        ("usecols", GOOD, given(data__csv={"usecols": ["date", "OT"]}), ""),
        ("na_values", cell("n.a."), given(data__csv={"na_values": ["n.a."]}, data__gaps="interpolate"), "filled"),
        ("date_format in a file", dates(lambda n: f"{1 + n // 24:02d}/01/2020 {n % 24:02d}:00" if n < 744 else ""),
         given(data__csv={"date_format": "%d/%m/%Y %H:%M"}), ""),
        ("integers", integers, {}, ""),
    ]:  # fmt: skip
        yield works(g, name, content, *([says] if says else []), params=params)
    for name, content, params, says in [
        ("empty", b"", {}, "empty"),
        ("spaces alone", b"   \n  \n", {}, "empty"),
        ("zero bytes alone", bytes(5000), {}, "empty|zero|binary"),
        ("header alone", LINES[0], {}, "no row|no rows"),
        ("mark alone", b"\xef\xbb\xbf", {}, "empty"),
        ("zero byte within", line(9, LINES[8] + "\0"), {}, "zero|nul|binary"),
        ("bytes that are no text", bytes(range(256)) * 8, {}, ""),
        ("UTF-16 without a mark", GOOD.encode("utf-16-le"), {}, "utf-16|zero|encoding|binary"),
        ("UTF-32", GOOD.encode("utf-32"), {}, "utf-32|zero|encoding|binary"),
        ("UTF-16 of an odd length", GOOD.encode("utf-16")[:-1], {}, "utf-16"),
        ("EBCDIC", GOOD.encode("cp500"), {}, ""),
        ("a quote that never ends", line(9, '"' + LINES[8]), {}, ""),
        ("more fields than columns", line(9, LINES[8] + ",1"), {}, "line 9|field"),
        ("more fields in every row", "\n".join([LINES[0], *(one + ",1" for one in LINES[1:])]), {}, ""),
        ("fewer fields", line(9, LINES[8].split(",")[0]), {}, "line 9|missing"),
        ("an empty line within", line(9, ""), {}, ""),
        ("a repeated header", line(9, LINES[0]), {}, "line 9"),
        ("a name twice", GOOD.replace("load", "OT", 1), {}, twice),
        ("a name twice behind skiprows", "a\nb\n" + double, given(data__csv={"skiprows": 2}), twice),
        ("a name twice behind a comment", "# x\n" + double, given(data__csv={"comment": "#"}), twice),
        ("a name twice with semicolons", double.replace(",", ";"), {}, twice),
        ("the date column twice", GOOD.replace("load", "date", 1), {}, twice),
        ("names that differ in spaces", GOOD.replace("load", " OT ", 1), {}, ""),
        ("no header", "\n".join(LINES[1:]), {}, "column"),
        ("no date column", GOOD.replace("date", "time", 1), {}, "date"),
        ("no target", GOOD.replace("OT", "OTT", 1), {}, "OTT"),
        ("dates alone", "\n".join(one.split(",")[0] for one in LINES), {}, ""),
        ("5,002 columns", wide(5000), {}, "5,00"),
        ("turned table", turned, {}, "date"),
        ("prose", b"Dear reader,\nthis is a letter.\n" * 50, {}, ""),
        ("Python source", b"import os\n\n\ndef main():\n    pass\n" * 50, {}, ""),
        ("three rows", "\n".join(LINES[:4]), {}, "row"),
        ("one row", "\n".join(LINES[:2]), {}, "row"),
        ("60 rows", "\n".join(LINES[:61]), {}, "row|window"),
        ("decimal comma in quotes", cell('"3,25"'), {}, "decimal"),
        ("thousands separator", cell('"1,234.5"'), {}, "thousands"),
        ("sep=5", GOOD, given(data__csv={"sep": 5}), "sep"),
        ("sep of two letters", GOOD, given(data__csv={"sep": "::"}), ""),
        ("empty sep", GOOD, given(data__csv={"sep": ""}), ""),
        ("encoding=5", GOOD, given(data__csv={"encoding": 5}), "encoding"),
        ("encoding=nosuch", GOOD, given(data__csv={"encoding": "nosuch"}), "nosuch"),
        ("encoding=ascii", table, given(data__csv={"encoding": "ascii"}), "ascii"),
        ("encoding=rot13", GOOD, given(data__csv={"encoding": "rot13"}), ""),
        ("encoding=base64", GOOD, given(data__csv={"encoding": "base64"}), ""),
        ("date_format that fits no row", GOOD, given(data__csv={"date_format": "%d/%m/%Y"}), stamps),
        ("engine=nosuch", GOOD, given(data__csv={"engine": "nosuch"}), "engine"),
        ("skiprows beyond the file", GOOD, given(data__csv={"skiprows": 10**6}), ""),
        ("decimal of two letters", GOOD, given(data__csv={"decimal": ",,"}), ""),
        ("dtype=nosuch", GOOD, given(data__csv={"dtype": "nosuch"}), "nosuch"),
        ("converters of text", GOOD, given(data__csv={"converters": {"OT": "eval"}}), ""),
        ("names too few", GOOD, given(data__csv={"names": ["date"]}), ""),
        ("usecols without the date", GOOD, given(data__csv={"usecols": ["OT"]}), ""),
        ("usecols that is not there", GOOD, given(data__csv={"usecols": ["date", "nope"]}), "nope"),
        ("on_bad_lines=nosuch", GOOD, given(data__csv={"on_bad_lines": "nosuch"}), ""),
        ("compression=zip", GOOD, given(data__csv={"compression": "zip"}), ""),
        ("storage_options", GOOD, given(data__csv={"storage_options": {"a": 1}}), ""),
        ("index_col", GOOD, given(data__csv={"index_col": 0}), "index_col"),
        ("chunksize", GOOD, given(data__csv={"chunksize": 10}), "chunksize"),
        ("iterator", GOOD, given(data__csv={"iterator": True}), "iterator"),
        ("unknown option", GOOD, given(data__csv={"seperator": ";"}), "seperator"),
        ("csv is a list", GOOD, given(data__csv=[1]), ""),
        ("csv is text", GOOD, given(data__csv="sep"), ""),
    ]:  # fmt: skip
        yield refused(g, name, content, *([says] if says else []), params=params)
    yield either(g, "a lone surrogate", line(9, LINES[8]).encode() + b"\xed\xa0\x80,1,1\n")
    yield either(g, "names with spaces around them", GOOD.replace("load", " load ", 1))
    yield either(g, "skiprows=-1", GOOD, given(data__csv={"skiprows": -1}))
    yield either(g, "skipfooter=-1", GOOD, given(data__csv={"skipfooter": -1}))
    yield either(g, "header=null", GOOD, given(data__csv={"header": None}))
    yield either(g, "spaces after commas", GOOD.replace(",", ", "))


def cases() -> list[Case]:
    """Every case of this file."""
    return [*formats(), *sizes(), *paths(), *csv_forms()]
