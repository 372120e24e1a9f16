"""The moments of neighbouring windows are those of reading every window."""

import numpy as np
import pytest
import torch

from timellm_pipeline.linear.sliding import SlidingSums


@pytest.mark.parametrize(("seq_len", "pred_len"), [(2, 1), (8, 3), (5, 9), (48, 12)])
@pytest.mark.parametrize("counts", [[1], [3, 40], [200, 1, 7]])
def test_moments_are_those_of_every_window(seq_len: int, pred_len: int, counts: list[int]) -> None:
    """Without it the linear part would be the solution of another problem."""
    rng, sums, read = np.random.default_rng(0), SlidingSums(seq_len, pred_len), []
    for count in counts:
        rows = torch.from_numpy(100 + rng.standard_normal(count + seq_len + pred_len - 1).cumsum()).float()
        sums.add(rows)
        windows = rows.double().unfold(0, seq_len + pred_len, 1)
        read.append(windows - windows[:, :seq_len].mean(dim=1, keepdim=True))
    points = torch.cat(read)
    x, y = points[:, :seq_len], points[:, seq_len:]
    xx, xy, yy = sums.moments()
    scale = float(points.square().sum())
    np.testing.assert_allclose(xx, x.T @ x, atol=1e-12 * scale)
    np.testing.assert_allclose(xy, x.T @ y, atol=1e-12 * scale)
    assert yy == pytest.approx(float(y.square().sum()), rel=1e-9)
    assert sums.num_windows == len(points)
