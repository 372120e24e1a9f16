"""The replay of weekly retrainings on real data, in a shorter form."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT

pytestmark = pytest.mark.long


@pytest.mark.skipif("TIMELLM_ETTH1" not in os.environ, reason="set TIMELLM_ETTH1 to a copy of ETTh1.csv")
def test_ten_weeks_bring_every_kind_of_decision_and_keep_the_invariants(tmp_path: Path) -> None:
    """Promoted, refused for broken data, nothing new, killed and resumed, two at once, a full disk, rolled back."""
    command = [sys.executable, "examples/replay_retraining.py", "--csv", os.environ["TIMELLM_ETTH1"]]
    command += ["--prefer", "fresh", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    weeks: dict[int, dict[str, Any]] = {
        row["week"]: row for row in map(json.loads, filter(lambda line: line.startswith("{"), done.stdout.splitlines()))
    }
    assert len(weeks) == 10 and "all invariants held after each of 10 weeks" in done.stdout
    assert weeks[1]["decision"] == "promoted", "the first champion"
    assert (weeks[3]["decision"], weeks[3]["status"]) == ("refused", "3") and "data: range" in weeks[3]["why"]
    assert (weeks[2]["decision"], weeks[2]["steps"]) == ("nothing new", 0)
    assert "resumed from step" in weeks[5]["why"] and weeks[5]["status"].startswith("killed then")
    assert "rollback from" in weeks[6]["why"]
    assert weeks[7]["status"] == "killed then 0" and weeks[7]["steps"] == 0, "the decision is not made twice"
    assert weeks[8]["status"].startswith("1 then") and weeks[9]["status"].startswith("1 then")
    assert weeks[4]["decision"] == "refused" and "data: schema" in weeks[4]["why"]
    assert (tmp_path / "data/08_reporting/history.html").stat().st_size > 100_000
