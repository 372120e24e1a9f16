"""The real command line: three lines for a mistake, statuses that mean something, the plan in seconds."""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import ROOT


def kedro(*words: str) -> list[str]:
    return [sys.executable, "-m", "kedro", *words]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(kedro(*words), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_a_mistake_is_three_lines_and_status_1(tmp_path: Path) -> None:
    """A page of traceback hides the one line that helps."""
    done = run("run", "--pipeline", "train", "--params", f"data_root={tmp_path}/out,window.strid=3")
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 3 and "Traceback" not in done.stdout + done.stderr
    assert lines[0].startswith("Error: ") and "did you mean `window.stride`" in lines[0]
    assert lines[1].strip().startswith("where: ") and lines[2].strip().startswith("do: ")
    assert not (tmp_path / "out").exists()


def test_a_mistake_inside_a_node_is_three_lines_and_its_traceback_is_in_the_log_file(tmp_path: Path) -> None:
    """Kedro prints the failed node and a hint to resume from it, which would load nothing new."""
    csv = tmp_path / "mine.csv"
    csv.write_text("date,OT\n2020-01-01,1\n2020-01-02,x\n2020-01-03,1\n", encoding="utf-8")
    done = run("run", "--pipeline", "data", "--params", f"data_root={tmp_path}/out,raw_csv={csv}")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "Error: 'x' is not a finite number",
        f"  where: {csv}, line 3, column `OT` (1 such values in this column)",
        "  do:    fill the value in, or remove the column if it is not a channel",
    ]
    assert "failed with error" not in done.stdout
    log = (ROOT / "logs/timellm.log").read_text(encoding="utf-8")
    assert f"{csv}, line 3" in log and "Traceback" in log


def test_the_published_numbers_stand_in_the_plan(tmp_path: Path) -> None:
    """The first thing people ask: how many windows, patches and steps are in an epoch."""
    params = "split.method=ett_hour,window.seq_len=256,window.pred_len=96,window.window_step=1,training.batch_size=2"
    done = run("run", "--pipeline", "data", "--params", f"data_root={tmp_path},{params}")
    assert done.returncode == 0, done.stderr
    for number in ("8,640", "8,289", "58,023", "29,011"):
        assert number in done.stdout
    assert "one step = one iteration = one batch" in done.stdout


@pytest.mark.long
def test_sigterm_saves_and_leaves_with_status_143_and_the_rerun_resumes(tmp_path: Path, backbones: dict) -> None:
    """A machine that is taken away with notice must lose no step."""
    params = (
        f"data_root={tmp_path},backbone.name={backbones['llama']},backbone.layers=null,training.save_steps=100000,"
        "training.log_steps=1,training.max_steps=60,window.window_step=25,training.validate_steps=1000,"
        "evaluation.test_step=200,evaluation.validation_step=200"
    )
    words = kedro("run", "--pipeline", "train", "--params", params)
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    histories: list[Path] = []
    while time.monotonic() < deadline:
        histories = list(tmp_path.glob("06_models/checkpoints/*/history.csv"))
        if histories and len(histories[0].read_text(encoding="utf-8").splitlines()) > 5:
            break
        time.sleep(0.05)
    assert histories, "training did not start"
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "stopped at step" in err and "resumes from there" in err and "Traceback" not in err
    (saved,) = histories[0].parent.glob("step-*")
    done = run("run", "--pipeline", "train", "--params", params)
    assert done.returncode == 0, done.stderr
    assert f"resuming from step {int(saved.name.removeprefix('step-'))}" in done.stdout


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a terminal of POSIX")
def test_a_closed_terminal_costs_no_step(tmp_path: Path) -> None:
    """The connection breaks: nothing can be printed any more, and the checkpoint is written all the same."""
    params = (
        f"data_root={tmp_path},backbone.name=none,training.save_steps=100000,training.log_steps=1,"
        "training.max_steps=20000,training.max_epochs=100,window.window_step=25,training.validate_steps=100000"
    )
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, kedro("run", "--pipeline", "train", "--params", params))
    deadline = time.monotonic() + 120
    steps = 0
    while time.monotonic() < deadline and steps < 30:
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 65536)
        steps = sum(
            len(path.read_bytes().splitlines()) for path in tmp_path.glob("06_models/checkpoints/*/history.csv")
        )
    os.close(terminal)  # the kernel sends SIGHUP
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 129
    assert len(list(tmp_path.glob("06_models/checkpoints/*/step-*"))) == 1


@pytest.mark.long
@pytest.mark.skipif(shutil.which("flock") is None, reason="cron's line of docs/retraining.md uses flock")
def test_the_line_for_cron_retrains_once_at_a_time_and_forecasts_after_a_refusal(tmp_path: Path) -> None:
    """A line that people copy into a crontab is run by nobody else before it matters."""
    page = (ROOT / "docs/retraining.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.strip().startswith("0 3 * * 1"))
    command = line.split("* * 1", 1)[1].strip()
    small = (
        "backbone.name=none,backbone.layers=null,split.method=recent,split.test_rows=20D,split.val_rows=10D,"
        "window.window_step=50,training.max_steps=10,training.batch_size=8,evaluation.test_step=24,gates.mase=null,"
        f"raw_csv={ROOT / 'data/01_raw/synthetic_hourly.csv'},data_root={tmp_path},gates.prefer=fresh"
    )
    kedro = tmp_path / "kedro"
    kedro.write_text(f'#!/bin/sh\nexec {sys.executable} -m kedro "$@"\n', encoding="utf-8")
    kedro.chmod(0o755)
    command = command.replace("/srv/project", str(ROOT)).replace("/srv/timellm", str(tmp_path))

    def cron(gates: str) -> int:
        words = command.replace("--env production", f"--params {small},{gates}")
        assert small in words
        surroundings = {**os.environ, "KEDRO": str(kedro)}
        return subprocess.run(["sh", "-c", words], check=False, timeout=300, env=surroundings).returncode

    forecasts = tmp_path / "07_model_output/forecast.csv"
    assert cron("gates.mase=0.01") == 3, "no forecast has such a small error: refused, and there is no champion"
    assert "the candidate was refused" in (tmp_path / "retrain.log").read_text(encoding="utf-8")
    assert cron("training.max_steps=11") == 0 and len(list(forecasts.iterdir())) == 2  # a folder of locks, a version
    assert cron("gates.mase=0.01") == 3 and len(list(forecasts.iterdir())) == 3, "the champion forecasts"
    lock = str(tmp_path / "retrain.lock")
    held = subprocess.Popen(["flock", lock, "sleep", "300"], start_new_session=True)
    try:
        while subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0:
            time.sleep(0.01)
        assert cron("gates.seasonal_naive=false") == 1, "another one holds the lock"
    finally:
        os.killpg(held.pid, signal.SIGKILL)
        held.wait()


@pytest.mark.long
def test_the_lineage_builds_as_a_site(tmp_path: Path) -> None:
    """`kedro viz build` imports every node; one that cannot be imported kills the picture."""
    done = run("viz", "build")
    try:
        assert done.returncode == 0, done.stderr
        assert (ROOT / "build/index.html").is_file() and (ROOT / "build/api/main").is_file()
    finally:
        shutil.rmtree(ROOT / "build", ignore_errors=True)
