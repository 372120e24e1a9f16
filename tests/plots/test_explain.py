"""The plots of `explain` show this configuration's numbers."""

import json

import pandas as pd
import pytest

from conftest import small_parameters
from timellm_pipeline.plots.explain import draw_batch, draw_borders, draw_epoch, draw_window
from timellm_pipeline.series.prepare import prepare


@pytest.mark.parametrize("stride", [4, 8])
def test_a_window_is_drawn_in_its_patches_and_an_epoch_with_its_checkpoints(
    raw_series: pd.DataFrame, stride: int
) -> None:
    """A plot of other numbers than the run's is worse than none."""
    parameters = small_parameters(window={"stride": stride})
    prepared = prepare(raw_series, parameters)
    plan, series, borders = prepared.training.plan, prepared.series, prepared.split_borders.borders
    window = draw_window(series, borders, plan, "OT")
    patches = [line for line in window.data if line.legendgroup == "patches"]
    assert len(patches) == plan.patches_per_window == (48 - 8) // stride + 2
    assert [line.x[0] for line in patches] == [number * stride for number in range(len(patches))]
    assert patches[-1].x[1] == 48 + stride - 1, "the last patch ends with the repeated tail"
    assert list(window.data[0].y) == raw_series["OT"].iloc[:48].tolist(), "the first training window, original units"
    epoch = draw_epoch(plan, 2.0)
    assert list(epoch.data[0].x) == list(range(4, plan.steps_per_epoch + 1, 4))
    batch = json.dumps(draw_batch(plan, parameters.model).to_plotly_json())
    assert f"[8, {plan.patches_per_window}, 8]" in batch and f"[8, {8 * plan.patches_per_window}]" in batch
    shapes = draw_borders(series, borders, "OT").layout.shapes
    assert len(shapes) == 5, "three ranges, two look-backs"
