"""The marker of a finished training belongs to its intervals, and a damaged one never passes for a result."""

import json
from pathlib import Path

import numpy as np
import pytest

from records import finished
from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.model.intervals import INTERVALS, Intervals
from timellm_pipeline.parameters.forecast import LEVELS
from timellm_pipeline.series.identity import sealed
from timellm_pipeline.training.result import FINISHED, Resume, read_finished, read_intervals, write_finished

MADE = Intervals(np.random.default_rng(0).random((len(LEVELS), 2, 3)).astype(np.float32), "of 3 windows")


def test_a_marker_and_its_intervals_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A republished model gets its history, its resumes and its intervals from these two files alone."""
    written = finished(resumed=[Resume(step=3, byte_equal=False, differences=["torch: 2 -> 3"])])
    assert read_finished(tmp_path) is None
    write_finished(tmp_path, written, MADE)
    read = read_finished(tmp_path)
    assert read is not None and read.model_copy(update={"sha256": {}}) == written
    assert set(read.sha256) == {INTERVALS}
    intervals = read_intervals(tmp_path, read, 2, 3)
    np.testing.assert_array_equal(intervals.widths, MADE.widths)
    assert intervals.basis == MADE.basis


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'{"best_st', "column"),
        (b"[]", "contains a list"),
        (b"\xff\xfe", "utf-8"),
        (json.dumps(sealed({"best_step": "many"})).encode(), "best_step"),
        (json.dumps({**finished().model_dump(), "best_step": 6, "seal": "0" * 64}).encode(), "digest differs"),
    ],
    ids=["incomplete", "list", "binary", "wrong type", "changed"],
)
def test_a_damaged_marker_counts_as_none_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, named: str
) -> None:
    """Training then resumes at its last checkpoint, finds that it is over, and writes the marker again."""
    (tmp_path / FINISHED).write_bytes(content)
    assert read_finished(tmp_path) is None
    assert "finished.json is ignored" in caplog.text and named in caplog.text


def test_intervals_of_another_training_or_none_are_refused(tmp_path: Path) -> None:
    """They have the right shape, and would be too narrow without any warning."""
    write_finished(tmp_path, finished(), MADE)
    marker = read_finished(tmp_path)
    assert marker is not None
    write_finished(tmp_path, finished(), Intervals(MADE.widths / 2))
    with pytest.raises(CheckpointError, match="do not match their digest") as caught:
        read_intervals(tmp_path, marker, 2, 3)
    assert FINISHED in caught.value.do
    (tmp_path / INTERVALS).unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_intervals(tmp_path, marker, 2, 3)
