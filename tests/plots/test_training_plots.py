"""The plots of a training and of its test draw any history that training can write."""

import pandas as pd

from timellm_pipeline.plots.training import plot_history


def test_a_history_whose_error_is_zero_is_drawn() -> None:
    """A constant series is forecast without an error, and zero has no logarithm: no training may fail by that."""
    history = pd.DataFrame({"step": [1, 2], "loss": [0.1, 0.0], "validation_mse": [0.1, 0.0]})
    assert len(plot_history(history).data) == 2
