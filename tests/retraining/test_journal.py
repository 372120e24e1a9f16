"""The decision journal survives damaged lines and strange names, and alone says which model is the champion."""

import json
from pathlib import Path

import pytest

from timellm_pipeline.errors import StorageError
from timellm_pipeline.retraining.journal import Decision, Journal, append
from timellm_pipeline.retraining.registry import Registry


def promote(path: Path, *versions: str) -> None:
    for version in versions:
        append(path, Decision(time="2026-01-01T00:00:00+00:00", decision="promoted", version=version))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


@pytest.mark.parametrize("name", ["HU\x85FL", "HU\u2028FL", "HU\u2029FL", "HU\nFL", "高负荷", '"', "\x1b[31m"])
def test_a_decision_about_any_name_is_one_line_that_can_be_read(path: Path, name: str) -> None:
    """A line separator inside a channel's name cut its line in two, and blocked every later retraining."""
    append(path, Decision(time="t", decision="refused", reason=f"data: range in `{name}`"))
    promote(path, "a")
    journal = Journal.read(path)
    assert journal.decisions[0].reason == f"data: range in `{name}`" and journal.champions() == ["a"]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\x00", b"[]", b"null", b"3", b'{"time": 1}', b'{"time": "t"', b"[" * 9000]
)
def test_a_damaged_line_is_named_and_the_others_count(
    path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """One damaged line stopped `retrain` and `rollback` for ever."""
    promote(path, "a")
    path.write_bytes(path.read_bytes() + damage + b"\n")
    promote(path, "b", "c")
    journal = Journal.read(path)
    assert journal.champions() == ["a", "b", "c"] and journal.damaged == (2,)
    assert "line(s) 2 cannot be read" in caplog.text
    assert path.read_bytes().count(damage) == 1, "nothing is deleted"


def test_a_rollback_takes_the_newest_champion_away(path: Path) -> None:
    """Also where the line that promoted one of them is damaged."""
    promote(path, "a", "b", "c")
    back = Decision(time="t", decision="rolled back", version="b", from_version="c")
    append(path, back)
    assert Journal.read(path).champions() == ["a", "b"]
    text = path.read_text(encoding="utf-8").replace('"version": "b"}', '"version": b}')
    path.write_text(text, encoding="utf-8")
    append(path, back)
    assert Journal.read(path).champions() == ["a", "b"]


def test_the_pointer_counts_only_for_a_line_that_was_lost(path: Path) -> None:
    """Bit rot in the newest line must not bring the champion before back without a word."""
    registry = Registry(path.parent)
    for version in ("a", "b"):
        registry.decide("promoted", version, training_id="t")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"#" + lines[1])
    assert registry.champion().version == "b", "the pointer was written for line 2"
    registry.decide("promoted", "c", training_id="t")
    assert registry.champion().version == "c", "a newer decision counts again"
    (path.parent / "champion.json").write_text(json.dumps({"version": "a", "training_id": "t", "since": "x"}))
    assert registry.champion().version == "c", "an old pointer says nothing against the journal"
    path.unlink()
    assert registry.champion().version == "a", "without any journal it is all there is"


def test_the_journal_is_not_written_through_a_link(path: Path) -> None:
    """In a shared folder somebody else may have put it there."""
    victim = path.with_name("victim")
    victim.write_text("precious", encoding="utf-8")
    path.symlink_to(victim)
    with pytest.raises(StorageError, match="this is a link"):
        promote(path, "a")
    assert victim.read_text(encoding="utf-8") == "precious"
