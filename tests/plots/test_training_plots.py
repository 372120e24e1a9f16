"""The plots of a training and of its test draw any history that training can write."""

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.evaluation.examples import Example
from timellm_pipeline.plots.training import plot_forecasts, plot_history


def test_a_history_whose_error_is_zero_is_drawn() -> None:
    """A constant series is forecast without an error, and zero has no logarithm: no training may fail by that."""
    history = pd.DataFrame({"step": [1, 2], "loss": [0.1, 0.0], "validation_mse": [0.1, 0.0]})
    assert len(plot_history(history).data) == 2


@pytest.mark.parametrize(
    ("title", "above", "beside"), [("best: a<b> (MASE 1)", "best: a&lt;b&gt; (MASE 1)", None), ("", None, "a&lt;b&gt;")]
)
def test_a_panel_has_one_name(title: str, above: str | None, beside: str | None) -> None:
    """Of many series, nobody would know which one a panel shows, or a name of the file would be read as HTML."""
    dates = pd.date_range("2020-01-01", periods=6)
    forecasts = {"forecast": np.ones(2), "seasonal naive": np.ones(2)}
    example = Example("a<b>", title, dates[:4], dates[4:], np.ones(4), np.ones(2), forecasts)
    figure = plot_forecasts([example])
    assert [note.text for note in figure.layout.annotations] == ([above] if above else [])
    assert figure.layout.yaxis.title.text == beside
