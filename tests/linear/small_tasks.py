"""Small panels of different kinds, and the errors of linear forecasts by reading every window with NumPy."""

from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from conftest import make_panel
from timellm_pipeline.linear.fitter import Task
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.parameters import WindowParams
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.segments import segments_of
from timellm_pipeline.series.windows import Windows

KINDS = ("random walk", "seasonal", "noise", "constant", "trend", "mixed")


def window_of(seq_len: int, pred_len: int) -> WindowParams:
    """Lengths of a window; patches do not matter to the linear part."""
    return WindowParams(seq_len=seq_len, pred_len=pred_len, patch_len=2, stride=1)


def panel_of(values: np.ndarray) -> Panel:
    """A panel of channels [channels, rows] in scaled units."""
    return make_panel({f"channel {number}": row.astype(np.float32) for number, row in enumerate(values)})


def task_of(
    values: np.ndarray | Panel,
    window: WindowParams,
    train: int,
    season: int = 6,
    first: int = 0,
    validated: list[int] | None = None,
) -> Task:
    """Training on the rows from `first` to `train`, and validation on the rest with its lookback.

    Args:
        values: channels [channels, rows], or a panel.
        validated: validated series; all by default.
    """
    panel = values if isinstance(values, Panel) else panel_of(values)
    numbers = list(range(panel.num_series)) if validated is None else validated
    segments = segments_of(panel, numbers, (train - window.seq_len, panel.num_rows), 1, window)
    validation = Windows(panel, segments, window.seq_len, window.pred_len)
    return Task(panel, (first, train), window, validation, season)


def values_of(kind: str, num_series: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Channels [channels, rows] of one kind, each with its own level, phase and noise."""
    noise, row = rng.standard_normal((num_series, rows)), np.arange(rows)
    phase = rng.uniform(0, 6, size=(num_series, 1))
    seasonal = 2 * np.sin((row + phase) * np.pi / 3) + 0.3 * noise
    walk = 0.3 * noise.cumsum(axis=1)
    return {
        "random walk": walk,
        "seasonal": seasonal,
        "noise": noise,
        "constant": np.ones((num_series, rows)) * phase,
        "trend": 0.02 * row * rng.uniform(-1, 1, size=(num_series, 1)) + 0.2 * noise,
        "mixed": seasonal + walk,
    }[kind]


def read(windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs and targets of all windows in float64, and the index of the series of each."""
    which = np.arange(len(windows))
    x, y = windows.gather(which)
    return x.astype(np.float64), y.astype(np.float64), windows.channel(which)


def training_windows(task: Task, starts: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every training window of a panel without gaps, as `read`; only those that start in a range, if it is given."""
    seq_len, pred_len = task.window.seq_len, task.window.pred_len
    found = []
    for number in range(task.scaled.num_series):
        rows = task.scaled.series(number)[task.rows[0] : task.rows[1]].astype(np.float64)
        points = sliding_window_view(rows, seq_len + pred_len)
        if starts is not None:
            points = points[starts[0] - task.rows[0] : starts[1] - task.rows[0]]
        found.append((points[:, :seq_len], points[:, seq_len:], np.full(len(points), number)))
    x, y, series = zip(*found)
    return np.concatenate(x), np.concatenate(y), np.concatenate(series)


def forecast_by(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Forecasts of one map [seq_len, pred_len], moved with the level of the window."""
    mean = x.mean(axis=1, keepdims=True)
    return mean + (x - mean) @ matrix


def mse_on(part: LinearPart, windows: Windows) -> float:
    """Validation MSE of a part, by reading the windows."""
    x, y, series = read(windows)
    return float(np.mean((part.forecast(x, part.numbers(windows.names)[series]) - y) ** 2))


def with_rows(panel: Panel, rows: np.ndarray) -> Panel:
    """The panel with other values in some grid rows of each series."""
    values = panel.values.copy()
    for number in range(panel.num_series):
        values[panel.offsets[number] + rows] += 3.0 + number
    return replace(panel, values=values)
