"""timellm_model + backbone + scaled_series + scaler + window_index -> test_metrics, plots."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.evaluate import nodes


def create_pipeline() -> Pipeline:
    """The test."""
    inputs = [
        "timellm_model",
        "backbone",
        "scaled_series",
        "scaler",
        "window_index",
        "params:evaluation",
        "params:backbone",
    ]
    outputs = ["test_metrics", "origin_errors", "forecast_plot", "horizon_plot", "origin_plot"]
    return Pipeline(
        [Node(nodes.evaluate, inputs, outputs, name="evaluate")],
        namespace="evaluate",
        prefix_datasets_with_namespace=False,
    )


def create_prototypes_pipeline() -> Pipeline:
    """What the prototypes say."""
    inputs = ["timellm_model", "backbone", "scaled_series", "window_index", "params:backbone"]
    return Pipeline(
        [Node(nodes.prototypes, inputs, ["prototype_words", "prototype_plot"], name="prototypes")],
        namespace="prototypes",
        prefix_datasets_with_namespace=False,
    )


def create_settings_pipeline() -> Pipeline:
    """A trained model's own settings for the data pipeline, so that it is tested on windows as it was trained on."""
    outputs = ["model_data", "model_split", "model_window"]
    return Pipeline([Node(nodes.settings_of_model, "timellm_model", outputs, name="settings_of_model")])
