"""The pictures of `explain` show this configuration's numbers."""

import json

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, make_inputs, small_parameters
from timellm_pipeline.evaluation import diagrams
from timellm_pipeline.evaluation.future_plot import backtest_table, plot_future
from timellm_pipeline.evaluation.plots import plot_history
from timellm_pipeline.series.borders import split_borders
from timellm_pipeline.series.plan import EXPLANATIONS, in_words, plan_markdown
from timellm_pipeline.series.validation import validate_series


def test_every_function_that_a_number_names_is_there() -> None:
    """A place in the code that has moved answers the question where it is with a lie."""
    for name, of in EXPLANATIONS.items():
        file, function = of.function.split()
        text = (ROOT / "src/timellm_pipeline" / file).read_text(encoding="utf-8")
        for part in function.split("."):
            assert f"def {part}(" in text or f"class {part}(" in text or f"class {part}:" in text, (name, of.function)
        base = (ROOT / "conf/base/parameters.yml").read_text(encoding="utf-8")
        for parameter in of.parameter.split(", "):
            assert parameter == "raw_csv" or f"  {parameter.split('.')[1]}:" in base, (name, parameter)


def test_the_page_says_what_a_step_is_and_how_long_an_epoch_takes(raw_series: pd.DataFrame) -> None:
    """These are the first questions people ask."""
    plan = make_inputs(raw_series, small_parameters()).plan
    page = plan_markdown(plan, accumulate=1, seconds_per_step=3600.0)
    assert "One step is one iteration: one batch of 8 windows" in page
    assert f"an epoch of {plan.steps_per_epoch} steps takes {in_words(3600 * plan.steps_per_epoch)}" in page
    assert f"| steps_per_epoch | {plan.steps_per_epoch} | train_windows // batch_size;" in page
    assert [in_words(seconds) for seconds in (45, 720, 29_040, 180_000)] == ["45 s", "12 min", "8 h 04 min", "2 d 02 h"]


@pytest.mark.parametrize("stride", [4, 8])
def test_a_window_is_drawn_in_its_patches_and_an_epoch_with_its_checkpoints(
    raw_series: pd.DataFrame, stride: int
) -> None:
    """A picture of other numbers than the run's is worse than none."""
    parameters = small_parameters(window={"stride": stride})
    plan = make_inputs(raw_series, parameters).plan
    series = validate_series(raw_series, parameters.data, parameters.window)
    borders = split_borders(len(series), parameters.split, parameters.window)
    window = diagrams.draw_window(series, borders, plan, "OT")
    patches = [line for line in window.data if line.legendgroup == "patches"]
    assert len(patches) == plan.patches_per_window == (48 - 8) // stride + 2
    assert [line.x[0] for line in patches] == [number * stride for number in range(len(patches))]
    assert patches[-1].x[1] == 48 + stride - 1, "the last patch ends with the repeated tail"
    epoch = diagrams.draw_epoch(plan, 2.0)
    assert list(epoch.data[0].x) == list(range(4, plan.steps_per_epoch + 1, 4))
    batch = json.dumps(diagrams.draw_batch(plan, parameters.model).to_plotly_json())
    assert f"[8, {plan.patches_per_window}, 8]" in batch and f"[8, {8 * plan.patches_per_window}]" in batch
    shapes = diagrams.draw_borders(series, borders, "OT").layout.shapes
    assert len(shapes) == 5, "three ranges, two look-backs"


def test_a_backtest_is_measured_on_rows_that_have_come(raw_series: pd.DataFrame) -> None:
    """The future has no error yet; the past has."""
    parameters = small_parameters()
    series = validate_series(raw_series, parameters.data, parameters.window)
    stamps = series["date"].iloc[-4:].to_numpy()
    table = pd.DataFrame(
        {
            "channel": "OT",
            "window_end": series["date"].iloc[-5],
            "step": np.arange(1, 5),
            "timestamp": stamps,
            "forecast": series["OT"].iloc[-4:].to_numpy() + 2.0,
        }
    )
    assert backtest_table(table, series).splitlines()[1].split() == ["OT", "2"]
    later = table.assign(timestamp=pd.date_range("2030", periods=4))
    assert backtest_table(later, series) == ""
    figure = plot_future(table, series)
    assert [line.name for line in figure.data] == ["seen", "seasonal naive", "Time-LLM"]
    np.testing.assert_allclose(figure.data[1].y, series["OT"].iloc[-28:-24].to_numpy(), atol=1e-6)


def test_a_history_whose_error_is_nought_is_drawn() -> None:
    """A constant series is forecast without an error, and nought has no logarithm: no training may end in that."""
    history = pd.DataFrame({"step": [1, 2], "loss": [0.1, 0.0], "validation_mse": [0.1, 0.0]})
    assert len(plot_history(history).data) == 2
