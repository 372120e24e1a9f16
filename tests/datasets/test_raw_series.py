"""The raw file is read as it is, and fetched only when nobody named another one."""

import hashlib
import os
from pathlib import Path

import pytest
from kedro.io import DatasetError

from timellm_pipeline.datasets import RawSeriesDataset
from timellm_pipeline.errors import SeriesError, find_user_error

CSV = "date,OT\n2020-01-01 00:00:00,1.5\n2020-01-01 01:00:00,2.5\n"


def mistake(dataset: RawSeriesDataset) -> SeriesError:
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    found = find_user_error(caught.value)
    assert isinstance(found, SeriesError)
    return found


def test_the_file_comes_as_it_is_with_its_digest(tmp_path: Path) -> None:
    """Without its digest nobody can tell which file a model was trained on."""
    path = tmp_path / "数据 series.csv"
    path.write_text(CSV, encoding="utf-8")
    file = RawSeriesDataset(filepath=str(path)).load()
    assert (file.path, file.content) == (str(path), path.read_bytes())
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert RawSeriesDataset(filepath=str(path)).preview()["columns"] == ["date", "OT"]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the old file and half of the new one would be a series that never was."""
    path = tmp_path / "a.csv"
    path.write_text(CSV, encoding="utf-8")
    whole = Path.read_bytes

    def growing(self: Path) -> bytes:
        content = whole(self)
        self.write_text(CSV + "2020-01-01 02:00:00,3.5\n", encoding="utf-8")
        return content

    monkeypatch.setattr(Path, "read_bytes", growing)
    assert "changed while it was read" in mistake(RawSeriesDataset(filepath=str(path))).what


def test_a_missing_file_that_somebody_named_is_not_replaced_by_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing mistake in a path must not train on another series."""
    monkeypatch.setattr(RawSeriesDataset, "_download", lambda self, fetch: pytest.fail("fetched"))
    fetch = {"url": "https://example.org/ETTh1.csv", "sha256": "0" * 64, "path": str(tmp_path / "ETTh1.csv")}
    found = mistake(RawSeriesDataset(filepath=str(tmp_path / "mine.csv"), fetch=fetch))
    assert found.what == "there is no such file" and "raw_csv" in found.do and str(tmp_path) in found.where


def test_the_fetched_file_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody changed on its way would be trained on."""
    import pooch

    calls = []

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> None:
        calls.append(known_hash)
        (path / fname).write_text(CSV, encoding="utf-8")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    path = tmp_path / "ETTh1.csv"
    fetch = {"url": "https://example.org/ETTh1.csv", "sha256": "ab" * 32, "path": str(path)}
    dataset = RawSeriesDataset(filepath=str(path), fetch=fetch)
    assert dataset.load() == dataset.load()
    assert calls == ["sha256:" + "ab" * 32]


def test_a_download_that_fails_says_how_to_do_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a firewall the address alone helps nobody."""
    import pooch

    def fail(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", fail)
    fetch = {"url": "https://example.org/a.csv", "sha256": "0" * 64, "path": str(tmp_path / "a.csv")}
    found = mistake(RawSeriesDataset(filepath=str(tmp_path / "a.csv"), fetch=fetch))
    assert "example.org/a.csv" in found.what and "raw_csv=PATH" in found.do


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """Python's own message is an error number."""
    assert mistake(RawSeriesDataset(filepath=str(tmp_path))).what == "this is a folder"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and links of POSIX")
def test_what_is_no_regular_file_is_named(tmp_path: Path) -> None:
    """A pipe was `no such file`, and reading one would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "lost").symlink_to(tmp_path / "nothing")
    cases = {"pipe": "this is a pipe", "loop": "symbolic links", "lost": "a link to", "x" * 300: "File name too long"}
    for name, message in cases.items():
        assert message in mistake(RawSeriesDataset(filepath=str(tmp_path / name))).what, name
    assert "a device or a socket" in mistake(RawSeriesDataset(filepath="/dev/zero")).what
