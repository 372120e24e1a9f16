"""The status of a running training is right, and reading it changes nothing."""

import json
import os
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import CheckpointError, StorageError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.history import HEADER
from timellm_pipeline.training.run import train_model
from timellm_pipeline.training.watching import read_status, write_page
from timellm_pipeline.watch import watch


def started(root: Path, name: str, rows: str, age: float = 0, **facts: object) -> Path:
    """A run's folder as an unfinished training leaves it."""
    folder = root / name
    (folder / "step-000000200").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "history.csv").write_text(HEADER + rows, encoding="utf-8")
    for written in ("run.json", "history.csv"):
        os.utime(folder / written, (time.time() - age, time.time() - age))
    return folder


ROWS = "100,1,0.9,,0.001,0,0.5,100\n200,1,0.7,0.8,0.001,0,0.5,100\n300,2,0.6,0.85,0.001,0,0.5,100\n"


def test_the_status_line_shows_step_speed_and_remaining_time(tmp_path: Path) -> None:
    """`Is it running?` is the first question of every long training."""
    started(tmp_path, "abc", ROWS, age=30, max_steps=1_500)
    line = read_status(tmp_path).line()
    assert "step 300/1,500 · epoch 2 · loss 0.6000" in line
    assert "best validation MSE 0.8000 (step 200)" in line
    assert "0.5 s/it · 10 min left" in line, "1,200 steps of half a second"
    assert "newest row 30 s ago" in line and "newest checkpoint 200" in line


def test_the_newest_run_is_shown_unless_one_is_named(tmp_path: Path) -> None:
    """A drive holds the runs of several months."""
    started(tmp_path, "abc", ROWS, age=500)
    started(tmp_path, "def", ROWS, age=5)
    assert read_status(tmp_path).folder.name == "def"
    assert read_status(tmp_path, "ab").folder.name == "abc"
    with pytest.raises(CheckpointError, match="there is no training xyz in this folder"):
        read_status(tmp_path, "xyz")


def test_a_run_without_a_step_or_with_an_incomplete_record_is_still_shown(tmp_path: Path) -> None:
    """A mounted drive shows files late, and incomplete."""
    folder = started(tmp_path, "abc", "", age=5)
    assert "no step yet" in read_status(tmp_path).line()
    (folder / "history.csv").write_text(HEADER + ROWS, encoding="utf-8")
    (folder / "run.json").write_text('{"max_st', encoding="utf-8")
    line = read_status(tmp_path).line()
    assert "step 300 ·" in line and "left" not in line, "nothing is guessed"


def test_a_line_that_is_being_written_is_ignored(tmp_path: Path) -> None:
    """The live file is rewritten in place; an incomplete row would be read as a row with wrong numbers."""
    folder = started(tmp_path, "abc", ROWS + "400,2,0.5,,0.0", max_steps=1_500)
    assert "step 300/1,500" in read_status(tmp_path).line()
    (folder / "history.csv").write_text("", encoding="utf-8")
    assert "no step yet" in read_status(tmp_path).line()


def test_a_training_that_has_just_started_is_the_newest(tmp_path: Path) -> None:
    """It has no history while the backbone is loaded; the finished one beside it must not be shown instead."""
    started(tmp_path, "old", ROWS, age=500)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/run.json").write_text("{}", encoding="utf-8")
    assert read_status(tmp_path).folder.name == "new" and "no step yet" in read_status(tmp_path).line()


def test_a_real_training_is_shown_to_its_end(raw_series: pd.DataFrame, tmp_path: Path) -> None:
    """What is read is what training really writes."""
    parameters = small_parameters()
    store = CheckpointStore(tmp_path / "s")
    train_model(make_inputs(raw_series, parameters), parameters, BackboneSource(tmp_path / "c"), store, "v")
    before = sorted((path, path.stat().st_mtime_ns) for path in store.root.rglob("*"))
    status = read_status(store.root)
    assert status.step == status.max_steps == 12 and status.checkpoints[-1] == 12
    assert "finished" in status.line() and "left" not in status.line()
    write_page(status, tmp_path / "page.html", refresh=7)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<title>step 12</title>" in page and "finished: " in page and 'http-equiv="refresh"' not in page
    assert "cdn.plot" not in page.split("<script", 1)[0] and len(page) > 1_000_000, "it draws without a network"
    assert before == sorted((path, path.stat().st_mtime_ns) for path in store.root.rglob("*")), "only read"


@pytest.mark.parametrize(
    ("weight", "comparison", "shown"),
    [(0.0, {}, "alpha 0: the linear part forecasts alone"), (0.25, {}, "alpha 0.250"), (1.0, None, "")],
)
def test_a_finished_run_shows_the_weight_of_the_correction(
    weight: float, comparison: dict[str, float] | None, shown: str, tmp_path: Path
) -> None:
    """After hours of training, the first question is whether the language model is used at all."""
    folder = started(tmp_path, "abc", ROWS, max_steps=300)
    assert "alpha" not in read_status(tmp_path).line()
    facts = {"stop_reason": "max_steps", "alpha": {"alpha": weight, "fitted": 0.5, "comparison": comparison}}
    (folder / "finished.json").write_text(json.dumps(facts), encoding="utf-8")
    line = read_status(tmp_path).line()
    assert "finished: max_steps" in line and (shown in line if shown else "alpha" not in line)


def test_the_command_writes_a_page_that_reloads_itself(tmp_path: Path) -> None:
    """Once is enough for a test; without --once it continues until the training ends."""
    started(tmp_path / "s", "abc", ROWS, max_steps=1_500)
    words = ["--root", str(tmp_path / "s"), "--page", str(tmp_path / "p.html"), "--every", "7", "--once"]
    done = CliRunner().invoke(watch, words)
    assert done.exit_code == 0 and "step 300/1,500" in done.output
    assert '<meta http-equiv="refresh" content="7">' in (tmp_path / "p.html").read_text(encoding="utf-8")
    missing = CliRunner().invoke(watch, ["--root", str(tmp_path / "none"), "--once"])
    assert missing.exit_code == 1 and "no training in this folder" in missing.output


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", b"a,b\n1,2\n", b"step,epoch\nx,y\n"])
def test_another_programs_history_is_named(tmp_path: Path, content: bytes) -> None:
    """It was a traceback of a CSV parser."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "run/history.csv").write_bytes(content)
    with pytest.raises(CheckpointError, match="not the history of a training"):
        read_status(tmp_path)


@pytest.mark.parametrize("facts", ['{"max_steps": "many"}', "[]", "\x00", '{"max_steps": [1]}'])
def test_damaged_facts_and_foreign_folders_do_not_stop_the_watch(tmp_path: Path, facts: str) -> None:
    """A folder `step-abc` and text in max_steps were tracebacks."""
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    for name in ("step-abc", "step-000000004", "step-4"):
        (folder / name).mkdir(parents=True)
    (folder / "run.json").write_text(facts, encoding="utf-8")
    (folder / "finished.json").write_text("[]", encoding="utf-8")
    (folder / "history.csv").write_text(HEADER + "4,1,0.5,,0.001,0,0.1,10\n", encoding="utf-8")
    status = read_status(tmp_path)
    assert (
        status.checkpoints == [4] and status.max_steps is None and status.finished is None and "step 4" in status.line()
    )
    write_page(status, tmp_path / "page.html", refresh=10)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page and "&lt;img src=x" in page
    with pytest.raises(StorageError, match="the page is a folder"):
        write_page(status, tmp_path, refresh=10)
