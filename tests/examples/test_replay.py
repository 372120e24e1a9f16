"""The replay of weekly retrainings on real data, in a shorter form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.long


@pytest.mark.skipif("TIMELLM_ETTH1" not in os.environ, reason="set TIMELLM_ETTH1 to a copy of ETTh1.csv")
def test_six_weeks_bring_every_kind_of_decision(tmp_path: Path) -> None:
    """Promoted, refused for broken data, nothing new, killed and resumed, rolled back."""
    command = [sys.executable, "examples/replay_retraining.py", "--csv", os.environ["TIMELLM_ETTH1"]]
    command += ["--weeks", "6", "--steps", "120", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    decisions = [
        json.loads(line)
        for line in (tmp_path / "data/06_models/decisions.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert decisions[0]["decision"] == "promoted", "the first champion"
    (broken,) = [line for line in done.stdout.splitlines() if "'week': 3" in line]
    assert "'decision': 'refused'" in broken and "data: " in broken and "'status': '3'" in broken
    (no_new_data,) = [line for line in done.stdout.splitlines() if "'week': 4" in line]
    assert "'decision': 'nothing new'" in no_new_data and "'steps': 0" in no_new_data
    (killed,) = [line for line in done.stdout.splitlines() if "'week': 5" in line]
    assert "resumed from step" in killed and "killed" in killed
    assert any(one["decision"] == "rolled back" for one in decisions) == ("rolled back from" in done.stdout)
    assert (tmp_path / "replay.html").stat().st_size > 100_000
