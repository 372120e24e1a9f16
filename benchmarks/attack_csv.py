"""CSV as programs write it, and as it should not be written."""

from collections.abc import Iterator

from attack_builders import GOOD, LINES, cell, dates, either, given, line, refused, works
from attack_harness import Case


def wide(columns: int) -> str:
    """A good file of so many channels."""
    head = "date,OT," + ",".join(f"c{n}" for n in range(columns))
    row = ",".join("1" for _ in range(columns))
    return "\n".join([head, *(f"2020-01-0{1 + n // 24} {n % 24:02d}:00:00,{n % 7},{row}" for n in range(100))])


def csv_forms() -> Iterator[Case]:
    """Encodings, separators, quotes, line ends, headers and the options of `data.csv`."""
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
        ("UTF-8 with a byte order mark", GOOD.encode("utf-8-sig"), {}, ""),
        ("UTF-16", GOOD.encode("utf-16"), {}, ""),
        ("UTF-16 big-endian with a byte order mark", b"\xfe\xff" + GOOD.encode("utf-16-be"), {}, ""),
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
        ("byte order mark alone", b"\xef\xbb\xbf", {}, "empty"),
        ("zero byte within", line(9, LINES[8] + "\0"), {}, "zero|nul|binary"),
        ("bytes that are not text", bytes(range(256)) * 8, {}, ""),
        ("UTF-16 without a byte order mark", GOOD.encode("utf-16-le"), {}, "utf-16|zero|encoding|binary"),
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
        ("usecols that does not exist", GOOD, given(data__csv={"usecols": ["date", "nope"]}), "nope"),
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
    return [*csv_forms()]
