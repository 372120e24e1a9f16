"""scaled_series + scaler + window_index + run_plan + backbone + step_checkpoints -> timellm_model."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.train import nodes

GROUPS = ("data", "split", "window", "prompt", "model", "backbone", "training", "evaluation")
INPUTS = ["settings", "scaled_series", "scaler", "window_index", "run_plan", "backbone", "step_checkpoints"]


def create_pipeline() -> Pipeline:
    """Training itself and its curve."""
    outputs = ["timellm_model", "training_history", "training_record"]
    return _namespaced([Node(nodes.train, [*INPUTS, "run_context"], outputs, name="train"), _draw_history()])


def create_publish_pipeline() -> Pipeline:
    """A checkpoint becomes a model version."""
    outputs = ["timellm_model", "training_history"]
    return _namespaced([Node(nodes.publish, [*INPUTS, "params:checkpoint"], outputs, name="publish"), _draw_history()])


def create_import_pipeline() -> Pipeline:
    """A checkpoint of the published code becomes a model version."""
    inputs = [*INPUTS, "params:checkpoint"]
    return _namespaced([Node(nodes.import_upstream, inputs, "timellm_model", name="import_upstream")])


def create_record_pipeline() -> Pipeline:
    """The run manifest, made last, when the test's figures are known."""
    inputs = ["training_record", "test_metrics", "timellm_model", "training_history", "raw_series", "run_context"]
    return Pipeline([Node(nodes.record, inputs, "run_manifest", name="record")])


def _namespaced(steps: list[Node]) -> Pipeline:
    groups = [f"params:{group}" for group in GROUPS]
    gather = Node(nodes.gather_settings, groups, "settings", name="gather_settings")
    return Pipeline([gather, *steps], namespace="train", prefix_datasets_with_namespace=False)


def _draw_history() -> Node:
    return Node(nodes.draw_history, "training_history", "history_plot", name="draw_history")
