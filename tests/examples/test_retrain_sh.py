"""The script of cron, systemd and CI: a forecast follows a retraining unless the retraining failed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="a script for sh; Windows has its own scheduler")


@pytest.mark.parametrize(
    ("retrain", "forecast", "status", "commands"),
    [
        (0, 0, 0, ["retrain", "forecast"]),
        (3, 0, 3, ["retrain", "forecast"]),
        (3, 1, 1, ["retrain", "forecast"]),
        (1, 0, 1, ["retrain"]),
        (143, 0, 143, ["retrain"]),
    ],
    ids=["promoted", "refused", "no forecast", "failed", "stopped"],
)
def test_the_champion_forecasts_unless_the_retraining_failed(
    tmp_path: Path, retrain: int, forecast: int, status: int, commands: list[str]
) -> None:
    """A refusal is the usual outcome, and it skipped the forecast."""
    kedro = tmp_path / "kedro"
    kedro.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/log\ncase "$3" in retrain) exit {retrain} ;; *) exit {forecast} ;; esac\n',
        encoding="utf-8",
    )
    kedro.chmod(0o755)
    script = [str(ROOT / "examples/retrain.sh"), "--env", "night shift"]
    done = subprocess.run(script, env={**os.environ, "KEDRO": str(kedro)}, check=False)
    assert done.returncode == status
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert lines == [f"run --pipeline {name} --env night shift" for name in commands]


def test_the_workflow_ends_well_after_a_refusal_and_runs_the_script() -> None:
    """`if: success()` skipped the forecast after status 3."""
    flow = yaml.safe_load((ROOT / ".github/workflows/retrain.yml").read_text(encoding="utf-8"))
    (step,) = [one for one in flow["jobs"]["retrain"]["steps"] if "retrain.sh" in one.get("run", "")]
    for status in (0, 3, 1):
        command = step["run"].replace("sh examples/retrain.sh", f"sh -c 'exit {status}'")
        done = subprocess.run(["bash", "-e", "-c", command], env={**os.environ, "DATA_ROOT": "/srv"}, check=False)
        assert done.returncode == (0 if status == 3 else status)
