"""timellm_model + backbone + newest rows -> forecast."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.data.nodes import validate
from timellm_pipeline.pipelines.forecast import nodes


def create_pipeline() -> Pipeline:
    """The checked series and what comes after it; settings come from the model (`model_data`, `model_window`)."""
    inputs = ["timellm_model", "backbone", "series", "params:forecast", "params:backbone"]
    return Pipeline(
        [
            Node(validate, ["raw_series", "model_data", "model_window"], "series", name="validate"),
            Node(nodes.forecast, inputs, ["forecast", "forecast_csv"], name="forecast"),
            Node(nodes.draw_forecast, ["forecast", "series"], "future_plot", name="draw_forecast"),
        ],
        namespace="forecast",
        prefix_datasets_with_namespace=False,
    )
