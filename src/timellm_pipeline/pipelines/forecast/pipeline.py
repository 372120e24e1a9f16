"""timellm_model + backbone + newest rows -> forecast."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.forecast import nodes
from timellm_pipeline.pipelines.tags import CPU, DATA, GPU, PLOTS


def create_pipeline() -> Pipeline:
    """From the raw file and a trained model to the forecast."""
    inputs = ["timellm_model", "backbone", "series", "params:forecast", "params:backbone", "params:workers"]
    return Pipeline(
        [
            Node(
                nodes.validate,
                ["raw_series", "known_future", "timellm_model", "params:data"],
                "series",
                name="validate",
                tags=[DATA, CPU],
            ),
            Node(nodes.forecast, inputs, "forecast", name="forecast", tags=GPU),
            Node(nodes.write_csv, "forecast", "forecast_csv", name="write_csv", tags=CPU),
            Node(nodes.draw_forecast, ["forecast", "series"], "future_plot", name="draw_forecast", tags=[CPU, PLOTS]),
        ],
        namespace="forecast",
        prefix_datasets_with_namespace=False,
    )
