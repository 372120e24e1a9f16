"""A table that is written part by part is complete or absent."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from kedro.io import Version

from timellm_pipeline.datasets import TablePartsDataset

VERSION = "2026-01-01T00.00.00.000Z"


def parts(count: int, broken: bool = False) -> Iterator[pd.DataFrame]:
    for number in range(count):
        stamps = pd.date_range("2020-01-01", periods=3, freq="D", tz="UTC")
        yield pd.DataFrame({"channel": f"序列 {number}", "timestamp": stamps, "forecast": np.arange(3) + number / 10})
    if broken:
        raise ValueError("the third part fails")


def dataset(root: Path) -> TablePartsDataset:
    return TablePartsDataset(filepath=str(root / "forecast.parquet"), version=Version(None, VERSION))


def test_the_parts_are_one_table(tmp_path: Path) -> None:
    """One row group for each part, so that a large forecast is never in memory as a whole."""
    dataset(tmp_path).save(parts(4))
    found = dataset(tmp_path)
    pd.testing.assert_frame_equal(found.load(), pd.concat(parts(4), ignore_index=True))
    assert pq.ParquetFile(found.find_path()).num_row_groups == 4 and found.preview()


def test_a_part_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Half a forecast must not be taken for one."""
    with pytest.raises(Exception, match="the third part fails"):
        dataset(tmp_path).save(parts(2, broken=True))
    assert not list((tmp_path / "forecast.parquet").glob("2*")) and not list(tmp_path.rglob("*.parquet/*.parquet"))
