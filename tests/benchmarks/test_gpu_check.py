"""The GPU check runs on a CPU with a tiny backbone."""

import subprocess
import sys

import pytest

from conftest import ROOT


@pytest.mark.long
def test_the_gpu_check_runs_dry() -> None:
    """A script that is never run without a GPU would first fail on a rented one."""
    command = [sys.executable, "benchmarks/gpu_check.py", "--dry-run", "--rounds", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("equal bytes") == 2 and "DIFFERENT" not in done.stdout
    assert done.stdout.count("published method") == 2 and "nf4 weights need a GPU" in done.stdout
