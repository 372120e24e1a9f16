"""The history page tells an on-call person which model forecasts, how well, and whether the schedule still runs."""

import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from timellm_pipeline.errors import ModelError, StorageError
from timellm_pipeline.files import append_line
from timellm_pipeline.history import history
from timellm_pipeline.retraining.history import History
from timellm_pipeline.retraining.history_page import render, write_history
from timellm_pipeline.retraining.journal import Decision, append

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
GATES = [
    {"gate": "data: range", "passed": True, "found": "0.4 deviations in `OT`", "limit": "at most 12"},
    {"gate": "champion: significantly better", "passed": False, "found": "+0.0100", "limit": "interval below 0"},
]


def live(mse: float) -> dict[str, Any]:
    return {
        "first": "2026-02-01 00:00:00",
        "last": "2026-02-09 00:00:00",
        "origins": 9,
        "mse": mse,
        "seasonal_naive": 0.5,
        "inside": {"80": 0.78, "95": 0.94},
    }


LINES: list[dict[str, Any]] = [
    {"time": "2026-02-02T03:00:00+00:00", "decision": "promoted", "version": "a", "newest_row": "2026-02-01 00:00:00"},
    {
        "time": "2026-02-09T03:00:00+00:00",
        "decision": "refused",
        "version": "b",
        "newest_row": "2026-02-08 00:00:00",
        "reason": "champion: significantly better: +0.0100",
        "gates": GATES,
        "live": live(0.3),
    },
    {
        "time": "2026-02-16T03:00:00+00:00",
        "decision": "refused",
        "newest_row": "2026-02-15 00:00:00",
        "reason": "data: range in `<b onclick=steal()>`",
    },
    {
        "time": "2026-02-23T03:00:00+00:00",
        "decision": "promoted",
        "version": "c",
        "newest_row": "2026-02-22 00:00:00",
        "test_mse": 0.25,
        "live": live(0.4),
    },
    {"time": "2026-02-24T03:00:00+00:00", "decision": "rolled back", "version": "a", "from_version": "c"},
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder with decisions of four weeks, and the report of a run that found nothing new."""
    (tmp_path / "06_models").mkdir()
    for line in LINES:
        append(tmp_path / "06_models/decisions.jsonl", Decision.model_validate(line))
    write_report(tmp_path, time="2026-03-02 03:00:00+00:00")
    return tmp_path


def write_report(root: Path, **facts: Any) -> None:
    folder = root / "08_reporting/retrain_report.json/2026-03-02T03.00.00.000Z"
    folder.mkdir(parents=True, exist_ok=True)
    report = {"decision": "nothing new", "newest_row": "2026-03-01 00:00:00", "newest_row_age": 3 * 3600, **facts}
    (folder / "retrain_report.json").write_text(json.dumps(report), encoding="utf-8")


def test_the_facts_name_champion_errors_and_ages(root: Path) -> None:
    """`Is the forecast of this morning to be trusted?`"""
    facts = History.read(root, NOW).facts()
    assert facts["champion"] == "version a, 7 d 09 h ago"
    assert facts["its error after promotion"] == "not known yet", "since the rollback"
    assert facts["newest decision"] == "rolled back, 7 d 09 h ago"
    assert facts["newest retraining"] == "nothing new, 33 h 00 min ago"
    assert facts["newest row"] == "2026-03-01 00:00:00, 36 h 00 min ago", "3 hours at the run, and 33 since"


def test_a_schedule_that_stopped_is_called_late(root: Path) -> None:
    """A champion that nobody retrains any more looks like one that needs no replacement."""
    late = History.read(root, datetime(2026, 3, 18, tzinfo=UTC)).facts()["newest retraining"]
    assert "LATE: the usual interval is 7 d 00 h" in late
    assert "LATE" not in History.read(root, datetime(2026, 3, 15, tzinfo=UTC)).facts()["newest retraining"]


def test_runs_by_hand_are_no_schedule(tmp_path: Path) -> None:
    """Four runs of the first day would make every later day late."""
    (tmp_path / "06_models").mkdir()
    for minute in (0, 10, 20, 30):
        line = {"time": f"2026-02-02T03:{minute:02d}:00+00:00", "decision": "refused", "version": "a"}
        append(tmp_path / "06_models/decisions.jsonl", Decision.model_validate(line))
    write_report(tmp_path, time="2026-02-02 03:30:00+00:00")
    assert "LATE" not in History.read(tmp_path, NOW).facts()["newest retraining"]


def test_strange_lines_of_the_journal_cost_neither_the_page_nor_the_champion(root: Path) -> None:
    """The page is opened when something is wrong, and names the champion that `forecast` uses."""
    lines: list[dict[str, Any]] = [
        {"time": "2026-03-01T03:00:00", "decision": "refused"},
        {"time": "yesterday", "decision": "", "gates": [{"gate": "x", "passed": [1]}]},
        {"time": "2026-03-01T03:00:00+00:00", "decision": "promoted", "version": "d", "live": {"mse": "low"}},
    ]
    journal = root / "06_models/decisions.jsonl"
    for line in lines:
        append_line(journal, json.dumps(line))
    append_line(journal, "{damaged")
    found = History.read(root, NOW)
    assert found.facts()["champion"].startswith("version d") and found.facts()["damaged lines"].startswith("9 of")
    assert "yesterday" in render(found)


def test_each_champion_has_its_time_and_its_own_errors(root: Path) -> None:
    """A decision scores the champion before it, not the one that it makes."""
    first, second, third = History.read(root, NOW).champions()
    assert [one.version for one in (first, second, third)] == ["a", "c", "a"]
    assert [entry.decision.live.mse for entry in first.live if entry.decision.live] == [0.3, 0.4]
    assert second.live == () and second.test_mse == 0.25 and second.until == LINES[4]["time"]
    assert third.until is None
    table = History.read(root, NOW).live()
    assert table["champion"].tolist() == ["a", "a"] and table["period"].tolist() == [0, 0]
    assert table["mse"].tolist() == [0.3, 0.4]
    kinds = History.read(root, NOW).decisions()
    assert kinds["kind"].tolist() == ["promoted", "refused", "refused before training", "promoted", "rolled back"]
    assert kinds["newest_row"].tolist()[-1] == "2026-02-22 00:00:00", "a rollback has no data of its own"


def test_the_page_has_every_decision_with_its_gates_and_escapes_names(root: Path) -> None:
    """A channel's name is somebody else's text."""

    class Tags(HTMLParser):
        found: list[str]

        def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
            self.found.append(tag)

    page = render(History.read(root, NOW))
    body = page[page.index("<h2>Champions</h2>") :]
    tags = Tags()
    tags.found = []
    tags.feed(body)
    assert "b" not in tags.found and "&lt;b onclick=steal()&gt;" in body
    assert tags.found.count("details") == 1 and "champion: significantly better" in body and "REFUSED" in body
    assert body.count('class="promoted"') == 2 and body.count('class="rolled"') == 1
    assert "Plotly.newPlot" in page and "http-equiv" not in page


def test_the_command_writes_the_page_and_prints_the_facts(root: Path) -> None:
    """It must work while the training machine is broken: no model, no data and no Kedro."""
    done = CliRunner().invoke(history, ["--data-root", str(root)])
    assert done.exit_code == 0, done.output
    assert "champion:" in done.output and (root / "08_reporting/history.html").stat().st_size > 100_000
    with pytest.raises(StorageError, match="is a folder"):
        write_history(History.read(root, NOW), root)


@pytest.mark.parametrize("report", ["{", "[]", None])
def test_a_damaged_report_costs_only_its_facts(root: Path, report: str | None) -> None:
    """The page is opened when something is wrong."""
    path = root / "08_reporting/retrain_report.json/2026-03-02T03.00.00.000Z/retrain_report.json"
    path.unlink()
    if report is not None:
        path.write_text(report, encoding="utf-8")
    facts = History.read(root, NOW).facts()
    assert "champion" in facts and "newest row" not in facts


def test_no_decision_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """An empty page would look like a schedule without trouble."""
    with pytest.raises(ModelError, match="no decision of a retraining yet"):
        History.read(tmp_path, NOW)
    done = CliRunner().invoke(history, ["--data-root", str(tmp_path)])
    assert done.exit_code == 1 and "--data-root PATH" in done.output
