"""The window index, and batches of windows as one gather each.

A window is one channel from one start row. The index lists them all, channel by channel, so that training shuffles
windows and never touches patches; a batch of them is one fancy-index into the scaled values, with no Python a window.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int

from timellm_pipeline.errors import ModelError, SeriesError
from timellm_pipeline.parameters import EvaluationParams, WindowParams
from timellm_pipeline.series.borders import RANGES, Borders
from timellm_pipeline.series.gaps import touches


def used_channels(channels: list[str], window: WindowParams) -> list[str]:
    """Channels that enter the model: the target alone for `S`, all of them otherwise."""
    return [window.target] if window.features == "S" else channels


def forecast_channels(channels: list[str], window: WindowParams) -> list[str]:
    """Channels that are validated, tested and forecast: the target alone for `S` and `MS`."""
    return channels if window.features == "M" else [window.target]


def window_starts(rows: tuple[int, int], step: int, window: WindowParams) -> Int[np.ndarray, "windows"]:
    """Start rows of one channel's windows in a row range, `step` rows apart; each window lies wholly inside."""
    first, last = rows
    return np.arange(first, last - window.seq_len - window.pred_len + 1, step, dtype=np.int32)


def build_window_index(
    channels: list[str],
    borders: Borders,
    window: WindowParams,
    evaluation: EvaluationParams,
    data_id: str,
    gaps: list[list[int]] | None = None,
) -> pd.DataFrame:
    """Every window: `split`, `channel` (both categorical) and `start` row, in that order of sorting.

    Args:
        gaps: [first, last] rows that no window may touch (`data.gaps: drop_windows`).

    Raises SeriesError when a split has no window without a gap.
    """
    steps = (window.window_step, evaluation.validation_step, evaluation.test_step)
    tested = forecast_channels(channels, window)
    codes, splits, starts = [], [], []
    for split, (name, step) in enumerate(zip(RANGES, steps, strict=True)):
        of_channel = window_starts(getattr(borders, name), step, window)
        of_channel = of_channel[~touches(of_channel, window.seq_len + window.pred_len, gaps or [])]
        if not len(of_channel):
            raise SeriesError(
                f"every {name} window touches a gap",
                where="data.gaps",
                do="set data.gaps to interpolate, or lower window.seq_len",
            )
        for channel in channels if name == "train" else tested:
            codes.append(np.full(len(of_channel), channels.index(channel), dtype=np.int16))
            splits.append(np.full(len(of_channel), split, dtype=np.int8))
            starts.append(of_channel)
    index = pd.DataFrame(
        {
            "split": pd.Categorical.from_codes(np.concatenate(splits), categories=pd.Index(RANGES)),
            "channel": pd.Categorical.from_codes(np.concatenate(codes), categories=pd.Index(channels)),
            "start": np.concatenate(starts),
        }
    )
    index.attrs["data_id"] = data_id
    return index


@dataclass(frozen=True)
class Windows:
    """The windows of one split over the scaled values.

    Attributes:
        values: [channels, rows] scaled values.
        channel: [windows] number of each window's channel.
        start: [windows] first row of each window.
        names: channel names, by number.
    """

    values: Float32[np.ndarray, "channels rows"]
    channel: Int[np.ndarray, "windows"]
    start: Int[np.ndarray, "windows"]
    names: tuple[str, ...]
    seq_len: int
    pred_len: int

    def __len__(self) -> int:
        return len(self.start)

    def gather(self, which: Int[np.ndarray, "batch"]) -> tuple[np.ndarray, np.ndarray]:
        """Inputs [batch, seq_len] and truths [batch, pred_len] of the chosen windows, in scaled units."""
        rows = self.start[which, None] + np.arange(self.seq_len + self.pred_len)
        points = self.values[self.channel[which, None], rows]
        return points[:, : self.seq_len], points[:, self.seq_len :]


def windows_of(scaled: pd.DataFrame, index: pd.DataFrame, split: str, window: WindowParams) -> Windows:
    """The windows of one split. Raises ModelError when series and index are not of the same data."""
    refuse_mixed_data(scaled_series=scaled.attrs.get("data_id"), window_index=index.attrs.get("data_id"))
    names = [name for name in scaled.columns if name != "date"]
    chosen = index[index["split"] == split]
    number = np.array([names.index(name) for name in index["channel"].cat.categories], dtype=np.int16)
    return Windows(
        values=np.ascontiguousarray(scaled[names].to_numpy(dtype=np.float32).T),
        channel=number[chosen["channel"].cat.codes.to_numpy()],
        start=chosen["start"].to_numpy(dtype=np.int32),
        names=tuple(names),
        seq_len=window.seq_len,
        pred_len=window.pred_len,
    )


def every_window(scaled: pd.DataFrame, rows: tuple[int, int], window: WindowParams, most: int) -> Windows:
    """Every window inside a row range, whatever `window_step` says, thinned evenly to about `most`."""
    names = [name for name in scaled.columns if name != "date"]
    in_all = len(window_starts(rows, 1, window)) * len(names)
    starts = window_starts(rows, max(1, in_all // most), window)
    starts = starts[~touches(starts, window.seq_len + window.pred_len, scaled.attrs.get("gaps", []))]
    return Windows(
        values=np.ascontiguousarray(scaled[names].to_numpy(dtype=np.float32).T),
        channel=np.repeat(np.arange(len(names), dtype=np.int16), len(starts)),
        start=np.tile(starts, len(names)),
        names=tuple(names),
        seq_len=window.seq_len,
        pred_len=window.pred_len,
    )


def refuse_mixed_data(**ids: str | None) -> None:
    """Raises ModelError when the data ids of the named data sets differ or are absent."""
    if None in ids.values() or len(set(ids.values())) > 1:
        listed = ", ".join(f"{name} {str(value)[:12]}" for name, value in ids.items())
        raise ModelError(
            f"these were not made from the same data: {listed}",
            where="data_id of the data sets",
            do="run the whole pipeline again (kedro run --pipeline data makes all of them anew)",
        )
