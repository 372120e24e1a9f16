"""Hostile raw files: other formats, sizes and paths."""

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
from collections.abc import Iterator, Mapping
from contextlib import closing

import attack_harness as harness
from attack_builders import GOOD, Content, frame, good, put, refused, works
from attack_files import Skipped
from attack_harness import Case, Place

# ── files that are not tables


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
        "gzip with extra bytes at the end": packed + b"extra",
        "gzip with a damaged middle": packed[:200] + bytes(50) + packed[250:],
    }.items():
        yield refused("sizes", name, content, "gzip")
    yield refused("sizes", "gzip of nothing", gzip.compress(b""), "empty")


# ── paths that are not files


def paths() -> Iterator[Case]:
    """A path that is not a readable file is refused at once, and named."""

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
            raise Skipped("permissions do not hold for root")
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


def cases() -> list[Case]:
    """Every case of this file."""
    return [*formats(), *sizes(), *paths()]
