"""What the data sets hold on disk is what was in memory, facts and digests too."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.parameters import DataParams, EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series.borders import Borders, split_borders
from timellm_pipeline.series.identity import data_identity, digest_of_frame
from timellm_pipeline.series.scaling import fit_scaler, scale_series
from timellm_pipeline.series.validation import validate_series
from timellm_pipeline.series.windows import build_window_index, windows_of

WINDOW = WindowParams(seq_len=48, pred_len=12)
EVALUATION = EvaluationParams()
NAMES = ("series", "scaled_series", "window_index")


@pytest.fixture
def frames(raw_series: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The three tables of the data pipeline, by catalog name."""
    series = validate_series(raw_series, DataParams(), WINDOW)
    borders = split_borders(len(series), SplitParams(), WINDOW)
    channels = list(series.columns[1:])
    data_id = data_identity(series, borders, WINDOW, EVALUATION)
    scaled = scale_series(series, fit_scaler(series, channels, borders, data_id))
    index = build_window_index(channels, borders, WINDOW, EVALUATION, data_id)
    return dict(zip(NAMES, (series, scaled, index), strict=True))


def through_parquet(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The frame after it was written and read again, as WholeParquetDataset does."""
    frame.to_parquet(folder / "frame.parquet", index=False)
    return pd.read_parquet(folder / "frame.parquet")


@pytest.mark.parametrize("name", NAMES)
def test_parquet_keeps_values_types_and_attrs(frames: dict[str, pd.DataFrame], name: str, tmp_path: Path) -> None:
    """Without it data id and frequency would be lost between two nodes, but only when results are saved."""
    frame = frames[name]
    again = through_parquet(frame, tmp_path)
    assert again.attrs == frame.attrs
    assert again.attrs  # each carries facts
    pd.testing.assert_frame_equal(again, frame)


@pytest.mark.parametrize("name", NAMES)
def test_digest_is_the_same_before_and_after_parquet(
    frames: dict[str, pd.DataFrame], name: str, tmp_path: Path
) -> None:
    """Without it a training in a notebook and one from saved data would have two training ids."""
    assert digest_of_frame(through_parquet(frames[name], tmp_path)) == digest_of_frame(frames[name])


def test_windows_are_the_same_before_and_after_parquet(frames: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    """Without it a reordered category on disk would cut windows from another channel."""
    scaled, index = frames["scaled_series"], frames["window_index"]
    scaled_again, index_again = through_parquet(scaled, tmp_path), through_parquet(index, tmp_path)
    for split in ("train", "validation", "test"):
        before, after = windows_of(scaled, index, split, WINDOW), windows_of(scaled_again, index_again, split, WINDOW)
        assert before.names == after.names
        assert len(before) == len(after) > 0
        for one, other in zip(before.gather(np.arange(len(before))), after.gather(np.arange(len(after))), strict=True):
            np.testing.assert_array_equal(one, other)


def test_borders_survive_json() -> None:
    """Without it the ranges would come back as lists, and a range of another type has another digest."""
    borders = split_borders(400, SplitParams(), WINDOW)
    assert Borders.model_validate(borders.model_dump(mode="json")) == borders
    assert Borders.model_validate_json(borders.model_dump_json()) == borders
