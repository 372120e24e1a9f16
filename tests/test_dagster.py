"""The schedule: one op runs one Kedro session, and a real daemon fires it."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default")]
dagster = pytest.importorskip("dagster", reason="the extra [orchestration] is not installed (make test-all does)")


def small(root: Path) -> dict[str, Any]:
    """Parameters of a retraining of seconds."""
    return {
        "data_root": str(root / "data"),
        "backbone": {"name": "none", "layers": None},
        "split": {"method": "recent", "test_rows": "20D", "val_rows": "10D"},
        "window": {"window_step": 50},
        "training": {"max_steps": 10, "batch_size": 8},
        "evaluation": {"test_step": 24},
        "gates": {"mase": None, "seasonal_naive": False, "prefer": "fresh"},
    }


def test_the_job_retrains_and_shows_the_gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An orchestrator that only says `success` says nothing."""
    monkeypatch.chdir(ROOT)
    from timellm_pipeline import dagster_schedule

    hopeless = small(tmp_path) | {"gates": {"mase": 0.01}}
    config = {"ops": {"retrain": {"config": {"env": "base", "params": hopeless}}}}
    done = dagster_schedule.retraining.execute_in_process(run_config=config)
    assert done.success and done.output_for_node("retrain") == "refused", "and no champion forecasts"
    config["ops"]["retrain"]["config"]["params"] = small(tmp_path)
    for expected in ("promoted", "nothing new"):
        done = dagster_schedule.retraining.execute_in_process(run_config=config)
        assert done.success and done.output_for_node("retrain") == expected
        (event,) = [one for one in done.all_node_events if one.event_type_value == "STEP_OUTPUT"]
        metadata = event.step_output_data.metadata
        assert metadata["decision"].value == expected
        assert metadata["forecast rows"].value == 7 * 24, "the champion forecasts after every decision"
        assert ("data: filled-in rows" in metadata["gates"].value) == (expected == "promoted")
    refused = small(tmp_path) | {"gates": {"mase": 0.01, "prefer": "fresh"}, "window": {"window_step": 60}}
    config["ops"]["retrain"]["config"]["params"] = refused
    done = dagster_schedule.retraining.execute_in_process(run_config=config)
    assert done.success and done.output_for_node("retrain") == "refused"
    (event,) = [one for one in done.all_node_events if one.event_type_value == "STEP_OUTPUT"]
    assert event.step_output_data.metadata["forecast rows"].value == 7 * 24, "its settings are not the champion's"


def test_the_forecast_gets_no_settings_of_the_next_training() -> None:
    """The champion has its own; the place of its backbone is still needed."""
    from timellm_pipeline.dagster_schedule import params_of_forecast

    params = {
        "data_root": "x",
        "window": {"seq_len": 60},
        "split.test_rows": 9,
        "backbone": {"name": "/b", "layers": 2},
    }
    assert params_of_forecast(params) == {"data_root": "x", "backbone": {"name": "/b"}}
    dotted = {"backbone.name": "/b", "backbone.layers": 2, "training.max_steps": 5}
    assert params_of_forecast(dotted) == {"backbone.name": "/b", "training.max_steps": 5}


def test_the_schedule_has_a_zone_and_is_on() -> None:
    """A schedule that starts switched off is found out on Tuesday."""
    from timellm_pipeline.dagster_schedule import weekly

    assert weekly.cron_schedule == "0 3 * * 1" and weekly.execution_timezone == "UTC"
    assert weekly.default_status == dagster.DefaultScheduleStatus.RUNNING


def test_the_real_daemon_fires_the_schedule(tmp_path: Path) -> None:
    """What was never fired was never scheduled."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / "conf/dagster/dagster.yaml", home)
    surroundings = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "TIMELLM_CRON": "* * * * *",
        "TIMELLM_PROJECT": str(ROOT),
        "TIMELLM_PARAMS": json.dumps(small(tmp_path)),
    }
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-m", "timellm_pipeline.dagster_schedule"]
    decisions = tmp_path / "data/06_models/decisions.jsonl"
    with (tmp_path / "log.txt").open("w", encoding="utf-8") as log:
        daemon = subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=log, stderr=subprocess.STDOUT)
        try:
            for _ in range(360):
                if decisions.exists():
                    break
                assert daemon.poll() is None, (tmp_path / "log.txt").read_text(encoding="utf-8")[-2000:]
                time.sleep(0.5)
        finally:
            daemon.terminate()
            daemon.wait(timeout=30)
    assert decisions.exists(), (tmp_path / "log.txt").read_text(encoding="utf-8")[-2000:]
    assert json.loads(decisions.read_text(encoding="utf-8").splitlines()[0])["decision"] == "promoted"
