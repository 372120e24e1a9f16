"""Prediction intervals from errors of forecasts that did not see their windows (conformal prediction).

The half-width of an interval is a quantile of absolute errors (evaluation/calibration.py selects them), per channel and
horizon step, with the finite-sample rank ceil((n + 1) * level). Coverage is not guaranteed as for independent windows,
because validation chose the model and windows overlap. The test reports the measured coverage.

Source: Vovk et al. 2005; Lei et al. 2018, "Distribution-Free Predictive Inference for Regression".
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.errors import ModelError
from timellm_pipeline.parameters.forecast import LEVELS

INTERVALS = "intervals.safetensors"  # file name in the model folder and in the folder of a finished training
MOST_WINDOWS = 20_000  # limit of windows whose errors are used: bounds memory and time

HalfWidths = Float[np.ndarray, "levels channels pred_len"]  # scaled units, levels in the order of LEVELS


def half_widths(
    errors: Float[np.ndarray, "windows pred_len"], channel: Int[np.ndarray, "windows"], num_channels: int
) -> HalfWidths:
    """Half-widths [levels, channels, pred_len] in scaled units, as float32; NaN for channels without a window.

    If there are too few windows for a level, its half-width is the largest error.

    Args:
        errors: signed or absolute errors in scaled units.
        channel: channel index of each window.
        num_channels: number of channels.
    """
    widths = np.full((len(LEVELS), num_channels, errors.shape[1]), np.nan, dtype=np.float32)
    by_channel = np.argsort(channel, kind="stable")
    numbers, first, counts = np.unique(channel[by_channel], return_index=True, return_counts=True)
    for count in np.unique(counts):  # channels with as many windows are sorted together
        of_count = counts == count
        rows = by_channel[first[of_count][:, None] + np.arange(count)]
        ordered = np.sort(np.abs(errors[rows]), axis=1)
        for row, level in enumerate(LEVELS):
            rank = min(math.ceil((count + 1) * level / 100), count)
            widths[row, numbers[of_count]] = ordered[:, rank - 1]
    return widths


def too_few(num_windows: int, level: int) -> bool:
    """Whether this number of windows is too small for the half-width of a level."""
    return math.ceil((num_windows + 1) * level / 100) > num_windows


@dataclass(frozen=True)
class Intervals:
    """Prediction intervals of a model.

    Attributes:
        widths: half-widths.
        basis: the errors that they were computed from, in a sentence; empty in files of older versions.
    """

    widths: HalfWidths
    basis: str = ""

    def at(self, level: int) -> Float[np.ndarray, "channels pred_len"]:
        """Half-widths of one level, in scaled units."""
        level_widths: np.ndarray = self.widths[LEVELS.index(level)]
        return level_widths

    def select(self, numbers: Sequence[int]) -> "Intervals":
        """The intervals of some channels, by their index, in the given order."""
        return replace(self, widths=self.widths[:, list(numbers)])

    def as_bytes(self) -> bytes:
        """Content of their safetensors file."""
        from safetensors.numpy import save

        return save({"half_widths": np.ascontiguousarray(self.widths)}, {"basis": self.basis})

    @classmethod
    def from_file(cls, path: Path, num_channels: int, pred_len: int) -> "Intervals":
        """The intervals in a file. Raises ModelError for a damaged file or another shape."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            content = path.read_bytes()
            widths = load(content)["half_widths"]
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise ModelError(
                f"cannot read the prediction intervals: {error}", where=str(path), do="restore the file, or train again"
            ) from error
        if widths.shape != (len(LEVELS), num_channels, pred_len):
            raise ModelError(
                f"the prediction intervals have the shape {widths.shape}, not {(len(LEVELS), num_channels, pred_len)}",
                where=str(path),
                do="restore the file, or train again",
            )
        return cls(np.asarray(widths), header.get("__metadata__", {}).get("basis", ""))
