"""Seconds and peak memory to read and check a large CSV, and a CSV with many gaps.

    python benchmarks/csv_time.py [--rows 6000000]

Writes synthetic files to a temporary folder: one value per minute in seven columns, and 500,000 rows of which 10,000
are missing (`data.gaps: interpolate`). Each is read in a process of its own; reading includes all checks.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from peers import environment
from step_time import status_mib
from timellm_pipeline.parameters import parse_parameters
from timellm_pipeline.series.prepare import read_series
from timellm_pipeline.series.reading import RawFile
from timellm_pipeline.series.validation import Wanted

GAPPED_ROWS, MISSING = 500_000, 10_000


def write(path: Path, rows: int, missing: int = 0) -> None:
    """Write a CSV of seven channels, without some of its rows."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2010-01-01", periods=rows, freq="min").strftime("%Y-%m-%d %H:%M:%S")
    table = pd.DataFrame({"date": stamps})
    for name in ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"):
        table[name] = np.round(10 * rng.normal(size=rows), 3)
    kept = np.ones(rows, dtype=bool)
    kept[1 + rng.choice(rows - 2, missing, replace=False)] = False
    table[kept].to_csv(path, index=False)


def measure(path: Path, gaps: str) -> None:
    """Print the seconds to read a file, and the peak memory of this process before and after."""
    parameters = parse_parameters({"data": {"gaps": gaps}})
    before = status_mib("VmHWM")
    start = time.perf_counter()
    panel = read_series(RawFile(str(path), path.read_bytes()), parameters.data, Wanted.for_training(parameters.window))
    seconds = time.perf_counter() - start
    peak = status_mib("VmHWM")
    print(
        f"  {path.stat().st_size / 2**20:,.0f} MiB, {panel.num_rows:,} rows x {panel.num_series}: {seconds:.1f} s, "
        f"peak {peak:,.0f} MiB, of which {before:,.0f} MiB before"
    )


def main() -> None:
    """Write the files and read each in a process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6_000_000)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--gaps", default="error", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        measure(options.read, options.gaps)
        return
    print(environment())
    with tempfile.TemporaryDirectory() as folder:
        large, gapped = Path(folder) / "large.csv", Path(folder) / "gapped.csv"
        write(large, options.rows)
        write(gapped, GAPPED_ROWS, MISSING)
        for path, gaps in ((large, "error"), (gapped, "interpolate")):
            subprocess.run([sys.executable, __file__, "--read", str(path), "--gaps", gaps], check=True)


if __name__ == "__main__":
    main()
