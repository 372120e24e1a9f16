"""The embedded series: committed, made up, repeatable, and with something in it to learn."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from conftest import ROOT, check
from synthetic import LOADS, NUM_ROWS, synthetic_series

COMMITTED = ROOT / "data" / "01_raw" / "synthetic_hourly.csv"


def test_synthetic_series_has_the_form_of_an_ett_file() -> None:
    """Without it the first run would try another form than the files people bring."""
    frame = synthetic_series(num_rows=500)
    assert list(frame.columns) == ["date", *LOADS, "OT"]
    series = check(frame)
    assert (series.frequency, series.num_rows) == ("h", 500)


def test_same_seed_gives_the_same_series_and_another_seed_another() -> None:
    """Without it two machines would disagree on the numbers of the first run."""
    first = synthetic_series(num_rows=300, seed=3)
    pd.testing.assert_frame_equal(first, synthetic_series(num_rows=300, seed=3))
    other = synthetic_series(num_rows=300, seed=4)
    assert (first["date"] == other["date"]).all()
    assert all(not first[name].equals(other[name]) for name in [*LOADS, "OT"])


def test_committed_file_is_what_the_module_makes() -> None:
    """Without it the file in the repository could come from code that is no longer there."""
    committed, made = pd.read_csv(COMMITTED, parse_dates=["date"]), synthetic_series()
    assert len(committed) == NUM_ROWS
    assert list(committed.columns) == list(made.columns)
    assert (committed["date"] == made["date"]).all()
    numbers = [*LOADS, "OT"]
    # A sine may differ by a last bit between C libraries, which can turn a third decimal.
    np.testing.assert_allclose(committed[numbers], made[numbers], rtol=0, atol=0.0011)


def test_module_writes_the_file_with_unix_line_ends(tmp_path: Path) -> None:
    """Without it the command in the docstring would write other bytes on Windows than are committed."""
    path = tmp_path / "made.csv"
    subprocess.run([sys.executable, str(ROOT / "benchmarks/synthetic.py"), str(path)], check=True)
    content = path.read_bytes()
    assert b"\r" not in content
    assert content.splitlines()[:1] == COMMITTED.read_bytes().splitlines()[:1]
    assert content.count(b"\n") == NUM_ROWS + 1


def test_yesterday_is_a_good_guess_and_not_the_answer() -> None:
    """Without it every model would look alike on noise, or none could beat the baseline on a perfect cycle."""
    for name in [*LOADS, "OT"]:
        values = synthetic_series(num_rows=4_000)[name].to_numpy()
        spread = values.var()
        a_day_before = ((values[24:] - values[:-24]) ** 2).mean() / spread
        half_a_day_before = ((values[12:] - values[:-12]) ** 2).mean() / spread
        assert 0.02 < a_day_before < half_a_day_before, name
