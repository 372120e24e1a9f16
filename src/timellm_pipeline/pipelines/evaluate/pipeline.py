"""timellm_model + backbone + scaled_series + scaler + window_index -> test_metrics, plots."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.evaluate import nodes
from timellm_pipeline.pipelines.tags import CPU, DATA, GPU


def create_pipeline() -> Pipeline:
    """Evaluation on the test windows."""
    inputs = [
        "timellm_model",
        "backbone",
        "scaled_series",
        "scaler",
        "window_index",
        "params:evaluation",
        "params:backbone",
        "params:workers",
    ]
    outputs = ["test_metrics", "origin_errors", "series_metrics", "forecast_plot", "horizon_plot", "origin_plot"]
    return Pipeline(
        [Node(nodes.evaluate, inputs, outputs, name="evaluate", tags=GPU)],
        namespace="evaluate",
        prefix_datasets_with_namespace=False,
    )


def create_prototypes_pipeline() -> Pipeline:
    """The words nearest to the prototypes."""
    inputs = ["timellm_model", "backbone", "scaled_series", "scaler", "window_index", "params:backbone"]
    return Pipeline(
        [Node(nodes.prototypes, inputs, ["prototype_words", "prototype_plot"], name="prototypes", tags=GPU)],
        namespace="prototypes",
        prefix_datasets_with_namespace=False,
    )


def create_settings_pipeline() -> Pipeline:
    """The split and window settings of a trained model for the data nodes: it is tested as it was trained."""
    outputs = ["model_split", "model_window"]
    tags = [DATA, CPU, GPU]
    return Pipeline([Node(nodes.settings_of_model, "timellm_model", outputs, name="settings_of_model", tags=tags)])
