"""Second moments of neighbouring windows, one row apart, without reading each window.

With T = seq_len + pred_len and the rows v of a series, the products R[i, j] = sum over windows t of v[t + i] v[t + j]
of n windows follow from those one row earlier:

    R[i + 1, j + 1] = R[i, j] - v[i] v[j] + v[n + i] v[n + j]

So the first row of R, which is a correlation, and the rows at both ends determine all of it: n log n operations for a
series instead of n T². Several series are added before the recursion.

Sums that differ from zero only by rounding are useless: where the inputs are nearly constant although the rows are not,
`is_accurate` is false and the windows must be read.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

SERIES_AT_ONCE = 128  # series whose ends are kept until they are added
SMALLEST_SHARE = 1e-9  # of the squared inputs that centering leaves; rounding is about 1e-15 of them


@dataclass
class SlidingSums:
    """Sums over windows from which their second moments follow, in float64.

    Attributes:
        seq_len, pred_len: lengths of a window in rows.
        first: products of the first input with each row of the window.
        by_mean: products of the mean of the inputs with each row of the window.
        means: sum of the squared means.
        inputs, targets: sums of the squared inputs and targets.
        change: R[i + 1, j + 1] - R[i, j].
        ends: rows at both ends of series that are not in `change` yet.
        num_windows: number of windows.
    """

    seq_len: int
    pred_len: int
    first: Float[Tensor, "rows"] = field(init=False)
    by_mean: Float[Tensor, "rows"] = field(init=False)
    change: Float[Tensor, "seq_len-1 rows-1"] = field(init=False)
    means: float = 0.0
    inputs: float = 0.0
    targets: float = 0.0
    ends: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    num_windows: int = 0

    def __post_init__(self) -> None:
        length = self.seq_len + self.pred_len
        self.first, self.by_mean = (torch.zeros(length, dtype=torch.float64) for _ in range(2))
        self.change = torch.zeros(self.seq_len - 1, length - 1, dtype=torch.float64)

    def add(self, rows: Float[Tensor, "rows"]) -> None:
        """Add all windows inside neighbouring rows of one series."""
        length = self.seq_len + self.pred_len
        count = len(rows) - length + 1
        rows = rows.double()
        rows = rows - rows.mean()  # windows are centred anyway; smaller numbers lose fewer digits
        mean = torch.cat([rows.new_zeros(1), rows.cumsum(0)])
        mean = (mean[self.seq_len : self.seq_len + count] - mean[:count]) / self.seq_len
        squares = torch.cat([rows.new_zeros(1), rows.square().cumsum(0)])
        spectrum = torch.fft.rfft(rows)
        for sums, factor in ((self.first, rows[:count]), (self.by_mean, mean)):
            transformed = torch.fft.rfft(factor, len(rows)).conj() * spectrum
            sums.add_(torch.fft.irfft(transformed, len(rows))[:length])
        self.means += float(mean.square().sum())
        of_rows = squares[count : count + length] - squares[:length]  # by position in the window
        self.inputs += float(of_rows[: self.seq_len].sum())
        self.targets += float(of_rows[self.seq_len :].sum())
        self.ends.append((rows[: length - 1].clone(), rows[count:].clone()))  # a view would keep every row
        self.num_windows += count
        if len(self.ends) == SERIES_AT_ONCE:
            self._add_ends()

    def _add_ends(self) -> None:
        if self.ends:
            heads, tails = (torch.stack(ends) for ends in zip(*self.ends))
            self.change += tails[:, : self.seq_len - 1].T @ tails - heads[:, : self.seq_len - 1].T @ heads
            self.ends.clear()

    @property
    def is_accurate(self) -> bool:
        """Whether centering leaves more of the inputs than rounding; false without windows."""
        left = self.inputs - self.seq_len * self.means  # sum of squares minus that of the mean
        return left > SMALLEST_SHARE * self.inputs

    def moments(self) -> tuple[Float[Tensor, "seq_len seq_len"], Float[Tensor, "seq_len pred_len"], float]:
        """X'X, X'Y and tr(Y'Y) of windows that are centred by the mean of their inputs."""
        self._add_ends()
        seq_len, length = self.seq_len, self.seq_len + self.pred_len
        # Along diagonals: in `skewed`, the column is j - i.
        padded = torch.nn.functional.pad(self.change, (0, seq_len + 1))
        skewed = padded.as_strided((seq_len - 1, length), (padded.shape[1] + 1, 1))
        along = torch.cat([self.first[None], skewed]).cumsum(0)
        products = along.new_zeros(seq_len, length + seq_len)
        products.as_strided((seq_len, length), (products.shape[1] + 1, 1)).copy_(along)
        products = products[:, :length] - self.by_mean - self.by_mean[:seq_len, None] + self.means
        upper = products[:, :seq_len].triu()
        targets = self.targets - 2 * float(self.by_mean[seq_len:].sum()) + self.pred_len * self.means
        return upper + upper.triu(1).T, products[:, seq_len:], targets
