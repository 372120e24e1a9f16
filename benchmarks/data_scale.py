"""Window index, loader and linear part at 7, 321 and 862 channels of 17,544 rows: seconds and memory.

    python benchmarks/data_scale.py
    python benchmarks/data_scale.py --series 100000 --rows 200    # a long Parquet file, to the run plan and a batch

Each measurement is a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from peers import environment
from timellm_pipeline.datasets import RawSeriesDataset
from timellm_pipeline.linear.fit import choose_linear
from timellm_pipeline.linear.fitter import Task
from timellm_pipeline.model.batches import BatchMaker, load_batches
from timellm_pipeline.parameters import EvaluationParams, SplitParams, WindowParams, parse_parameters
from timellm_pipeline.series.borders import split_borders
from timellm_pipeline.series.identity import digest_of_arrays
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.panel_file import read_index, write_index
from timellm_pipeline.series.prepare import prepare
from timellm_pipeline.series.windows import Windows, build_window_index
from timellm_pipeline.training.order import batch_order

ROWS = 17_544
CHANNELS = (7, 321, 862)
BATCH, BATCHES = 32, 2_000
LONG_BATCH, LONG_BATCHES = 1024, 500
TABLES = {  # name of the measurement: head and format of a row
    "index": (
        " channels      windows  index s  to the first batch s   windows/s  index file KiB  peak MiB",
        "{channels:>9} {windows:>12,} {index_s:>8.2f} {ready_s:>21.2f} {windows_per_s:>11,.0f} {file_kib:>15.1f} "
        "{peak_mib:>9.0f}",
    ),
    "linear": (
        " channels  training windows  linear part s  peak MiB  before MiB",
        "{channels:>9} {windows:>17,} {seconds:>14.1f} {peak_mib:>9.0f} {before_mib:>11.0f}",
    ),
}


def measure(num_channels: int) -> dict[str, float]:
    """Index, its Parquet file, the digests, the first shuffled epoch order and 2,000 batches, in this process."""
    rng = np.random.default_rng(0)
    names = [f"c{number}" for number in range(num_channels)]
    columns = {name: rng.standard_normal(ROWS, dtype=np.float32) for name in names}
    scaled = Panel.from_columns(columns, start=pd.Timestamp("2020-01-01"), frequency="h", data_id="x")
    window, split = WindowParams(seq_len=512, pred_len=96, target=names[-1]), SplitParams()
    start = time.perf_counter()
    borders = split_borders(ROWS, split, window)
    index = build_window_index(scaled, borders, split, window, EvaluationParams(), "x")
    indexed = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index.parquet")
        write_index(index, path)
        size = path.stat().st_size
        index = read_index(path)
    digest_of_arrays(*(column for of in index.splits.values() for column in of.columns))
    scaled.digest()
    train = Windows(scaled, index.splits["train"], window.seq_len, window.pred_len)
    order = batch_order(len(train), BATCH, seed=1, first_step=0, last_step=BATCHES)
    first = iter(load_batches(BatchMaker(train, None), order))
    next(first)
    ready = time.perf_counter() - start
    begun = time.perf_counter()
    count = sum(len(batch.which) for batch in first)
    return {
        "windows": sum(index.counts().values()),
        "train": len(train),
        "index_s": indexed,
        "ready_s": ready,
        "windows_per_s": count / (time.perf_counter() - begun),
        "file_kib": size / 2**10,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_linear(num_channels: int) -> dict[str, float]:
    """The linear part of noisy daily and weekly cycles, in this process; default parameters."""
    rng, hour = np.random.default_rng(0), np.arange(ROWS)
    columns = {
        f"c{number}": (
            np.sin((hour + rng.uniform(0, 24)) * np.pi / 12)
            + 0.5 * np.sin((hour + rng.uniform(0, 168)) * np.pi / 84)
            + 0.5 * rng.standard_normal(ROWS)
        ).astype(np.float32)
        for number in range(num_channels)
    }
    panel = Panel.from_columns(columns, start=pd.Timestamp("2020-01-01"), frequency="h", data_id="x")
    del columns
    window, split = WindowParams(seq_len=512, pred_len=96, target="c0"), SplitParams()
    borders = split_borders(ROWS, split, window)
    index = build_window_index(panel, borders, split, window, EvaluationParams(validation_step=1), "x")
    validation = Windows(panel, index.splits["validation"], window.seq_len, window.pred_len)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.perf_counter()
    part = choose_linear(Task(panel, borders.train, window, validation, 24), "structured", (24, 168))
    return {
        "windows": part.facts.num_windows,
        "seconds": time.perf_counter() - start,
        "before_mib": before,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def write_long(path: Path, num_series: int, rows: int) -> None:
    """A long Parquet file of ragged daily series, sorted by series and time."""
    rng, group = np.random.default_rng(0), max(1, 400_000 // rows)
    schema = pa.schema([("unique_id", pa.string()), ("ds", pa.timestamp("ns")), ("y", pa.float64())])
    days = np.datetime64("2020-01-01", "ns") + np.arange(rows + 101) * np.timedelta64(1, "D")
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, num_series, group):
            count = min(group, num_series - first)
            names = np.array([f"id{number:06d}" for number in range(first, first + count)])
            start = 50 * rng.integers(0, 3, count)
            columns = {
                "unique_id": names.repeat(rows),
                "ds": days[(start[:, None] + np.arange(rows)).reshape(-1)],
                "y": 10 + rng.standard_normal(count * rows),
            }
            writer.write_table(pa.table(columns, schema=schema))


def measure_long(path: str) -> dict[str, float]:
    """From the bytes of a long Parquet file to the run plan, the first batch, and batches without prompts."""
    window = {"seq_len": 96, "pred_len": 24, "window_step": 1}
    steps = {"validation_step": 1, "test_step": 1}
    parameters = parse_parameters({"window": window, "evaluation": steps, "data": {"max_gigabytes": 100}})
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.perf_counter()
    made = prepare(RawSeriesDataset(filepath=path, folder=str(Path(path).parent)).load(), parameters)
    planned, train = time.perf_counter() - start, made.training.windows("train")
    per_epoch = len(train) // LONG_BATCH
    order = batch_order(len(train), LONG_BATCH, seed=1, first_step=0, last_step=min(LONG_BATCHES, per_epoch))
    batches = iter(order)
    train.gather(next(batches))
    ready, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begun = time.perf_counter()
    numbers = list(batches)
    ordered = time.perf_counter() - begun
    count = sum(len(train.gather(which)[0]) for which in numbers)
    gathered = time.perf_counter() - begun - ordered
    begun = time.perf_counter()
    last = list(batch_order(len(train), LONG_BATCH, seed=1, first_step=per_epoch - len(numbers), last_step=per_epoch))
    ordered_last = time.perf_counter() - begun
    assert len(np.unique(np.concatenate([*numbers, *last]))) == LONG_BATCH * 2 * len(numbers)
    return {
        "windows": sum(made.training.index.counts().values()),
        "train": len(train),
        "planned_s": planned,
        "ready_s": ready,
        "windows_per_s": count / gathered,
        "ordered_per_s": count / ordered,
        "last_per_s": count / ordered_last,
        "before_mib": before,
        "peak_mib": peak,
    }


def in_process(function: str, argument: int | str) -> dict[str, float]:
    """Result of a measurement in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, function, str(argument)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def print_long(num_series: int, rows: int) -> None:
    """Generate a long file, and measure it in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.parquet")
        write_long(path, num_series, rows)
        found = in_process("long", str(path))
        print(f"{num_series:,} series of {rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB of Parquet, 96 -> 24")
    print(f"{found['windows']:,} windows ({found['train']:,} of training), {found['planned_s']:.1f} s to the run plan")
    print(f"{found['ready_s']:.1f} s to the first batch; peak {found['peak_mib']:,.0f} MiB, ", end="")
    print(f"of which {found['before_mib']:,.0f} MiB before the file was read")
    print(f"gather: {found['windows_per_s']:,.0f} windows/s; ", end="")
    print(f"order: {found['ordered_per_s']:,.0f} window numbers/s from step 0, ", end="")
    print(f"{found['last_per_s']:,.0f} at the end of the epoch; no number twice")


def main() -> None:
    """Print the tables."""
    if len(sys.argv) > 1 and sys.argv[1] in ("index", "linear", "long"):
        whole = {"index": measure, "linear": measure_linear}.get(sys.argv[1])
        print(json.dumps(measure_long(sys.argv[2]) if whole is None else whole(int(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, help="series of a long file")
    parser.add_argument("--rows", type=int, default=200, help="rows of each series of a long file")
    options = parser.parse_args()
    print(environment())
    if options.series:
        print_long(options.series, options.rows)
        return
    print(f"{ROWS:,} rows, 512 -> 96, every window")
    for name, (head, row) in TABLES.items():
        print(f"\n{head}")
        for channels in CHANNELS:
            print(row.format(channels=channels, **in_process(name, channels)), flush=True)


if __name__ == "__main__":
    main()
