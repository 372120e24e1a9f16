"""Second moments of windows: everything that a linear forecast and its squared error depend on.

For windows centred by their mean, X [windows, seq_len] and Y [windows, pred_len], a ridge regression needs X'X and X'Y
only, and the squared error of a map W is tr(W'X'XW) - 2 tr(W'X'Y) + tr(Y'Y). So windows are read once, whatever the
number of candidates, and the fit of a fold is a sum over the pieces outside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

from timellm_pipeline.linear.sliding import SlidingSums
from timellm_pipeline.series.windows import Windows

ROWS = 8192  # windows per matrix product
MANY_SEGMENTS = 5_000  # more segments than a wide table has
SHORT = 4  # a short segment has fewer windows than this many times the length of a window
VARIANCE_FLOOR = 0.1  # scaled units: keeps the weight of a nearly constant window finite


@dataclass
class Moments:
    """Sums over windows, in float64. The leading dimension is 1 (all series together) or the number of series.

    Attributes:
        xx: X'WX.
        xy: X'WY.
        yy: tr(Y'WY).
        num_windows: number of windows in each sum.
    """

    xx: Float[Tensor, "series seq_len seq_len"]
    xy: Float[Tensor, "series seq_len pred_len"]
    yy: Float[Tensor, "series"]
    num_windows: Float[Tensor, "series"]

    @classmethod
    def zeros(cls, num_series: int, seq_len: int, pred_len: int) -> "Moments":
        """Moments of no windows."""
        shapes = (num_series, seq_len, seq_len), (num_series, seq_len, pred_len), (num_series,), (num_series,)
        return cls(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes))

    @classmethod
    def of(cls, windows: Windows, num_groups: int) -> "Moments":
        """Unweighted moments of all windows, by series or together.

        Args:
            num_groups: number of series, or 1.
        """
        moments = cls.zeros(num_groups, windows.seq_len, windows.pred_len)
        for group in range(num_groups):
            own = windows if num_groups == 1 else windows.of_series([group])
            sums = SlidingSums(windows.seq_len, windows.pred_len)
            are_neighbours = (own.segments.step == 1).all() and not has_many_short(own)
            for rows in neighbouring_rows(own) if are_neighbours else ():
                sums.add(rows)
            if sums.is_accurate:
                moments.xx[group], moments.xy[group], moments.yy[group] = sums.moments()
                moments.num_windows[group] = sums.num_windows
            else:
                for x, y in centred_together(own):
                    moments.add(group, x, y)
        return moments

    def add(self, series: int, x: Tensor, y: Tensor, weights: Tensor | None = None) -> None:
        """Add centred windows of one series."""
        # In float64: float32 would make the moments of smooth series indefinite, and their errors wrong.
        weighted = x if weights is None else x * weights[:, None]
        self.xx[series] += weighted.T @ x
        self.xy[series] += weighted.T @ y
        squares = y.square().sum(dim=1)
        self.yy[series] += squares.sum() if weights is None else squares @ weights
        self.num_windows[series] += len(x)

    def __iadd__(self, other: "Moments") -> "Moments":
        for name in ("xx", "xy", "yy", "num_windows"):
            getattr(self, name).add_(getattr(other, name))
        return self

    def around(self, center: Float[Tensor, "1 seq_len pred_len"]) -> "Moments":
        """Moments of the targets less the forecasts of a map. The sums of squares are those of the targets."""
        return Moments(self.xx, self.xy - self.xx @ center, self.yy, self.num_windows)

    def total(self) -> "Moments":
        """Moments of all series together."""
        return Moments(*(values.sum(dim=0, keepdim=True) for values in (self.xx, self.xy, self.yy, self.num_windows)))

    def mse(self, matrix: Float[Tensor, "#series seq_len pred_len"]) -> float:
        """Mean squared error of a map over the windows of unweighted moments; 0 for no windows, as for any map."""
        points = max(float(self.num_windows.sum()), 1.0) * self.xy.shape[-1]
        products = ((self.xx @ matrix) * matrix).sum(dim=(1, 2)) - 2 * (self.xy * matrix).sum(dim=(1, 2)) + self.yy
        return max(float(products.sum()), 0.0) / points


def neighbouring_rows(windows: Windows) -> Iterator[Tensor]:
    """Iterator over the rows of each segment of windows that are one row apart."""
    segments, length = windows.segments, windows.seq_len + windows.pred_len
    for series, first, count in zip(segments.series, segments.first, segments.count):
        start = int(windows.panel.offsets[series] + first)
        # A copy: rows of a file that is mapped into memory are read-only.
        yield torch.tensor(windows.panel.values[start : start + int(count) + length - 1])


def has_many_short(windows: Windows) -> bool:
    """Whether windows are read faster across series than series by series: many segments with few windows each."""
    segments, length = windows.segments, windows.seq_len + windows.pred_len
    return len(segments.count) > MANY_SEGMENTS and len(windows) < SHORT * length * len(segments.count)


def centred_together(windows: Windows) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterator over (inputs, targets) of all windows, centred by the mean of the inputs, in float64."""
    if not has_many_short(windows):
        yield from ((x, y) for _, x, y in centred(windows))
        return
    for begin in range(0, len(windows), ROWS):
        x, y = windows.gather(np.arange(begin, min(begin + ROWS, len(windows))))
        mean = x.mean(axis=1, keepdims=True, dtype=np.float64)
        yield torch.from_numpy(x - mean), torch.from_numpy(y - mean)


def centred(windows: Windows) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Iterator over (series, inputs, targets) of the windows of each segment, centred as in `centred_together`."""
    values, segments, seq_len = windows.panel.values, windows.segments, windows.seq_len
    length, size = seq_len + windows.pred_len, values.itemsize
    for series, first, count, step in zip(segments.series, segments.first, segments.count, segments.step):
        start = int(windows.panel.offsets[series] + first)
        for begin in range(0, int(count), ROWS):
            rows = min(ROWS, int(count) - begin)
            points = as_strided(
                values[start + begin * int(step) :], (rows, length), (int(step) * size, size), writeable=False
            )
            centred_points = torch.from_numpy(
                points - points[:, :seq_len].mean(axis=1, keepdims=True, dtype=np.float64)
            )
            yield int(series), centred_points[:, :seq_len], centred_points[:, seq_len:]


def inverse_deviation(x: Float[Tensor, "windows seq_len"]) -> Float[Tensor, "windows"]:
    """Weights that keep windows of large variance from determining the fit."""
    return (x.square().mean(dim=1) + VARIANCE_FLOOR).rsqrt()
