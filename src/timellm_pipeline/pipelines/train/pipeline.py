"""scaled_series + scaler + window_index + run_plan + backbone + step_checkpoints -> timellm_model."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.tags import CPU, EITHER, GPU, PLOTS
from timellm_pipeline.pipelines.train import nodes

GROUPS = ("data", "split", "window", "prompt", "model", "backbone", "training", "evaluation", "workers")
DATA = ["scaled_series", "scaler", "window_index"]
INPUTS = ["settings", *DATA, "run_plan", "linear_part", "backbone", "step_checkpoints"]


def create_pipeline() -> Pipeline:
    """Training and its loss curve."""
    outputs = ["timellm_model", "training_history", "training_record"]
    return _namespaced([Node(nodes.train, [*INPUTS, "run_context"], outputs, name="train", tags=GPU), _draw_history()])


def create_worker_inputs_pipeline() -> Pipeline:
    """Write the inputs of a training for workers of several machines."""
    inputs = [*INPUTS, "run_context"]
    return _namespaced([Node(nodes.write_inputs, inputs, "worker_command", name="write_inputs", tags=EITHER)])


def create_publish_pipeline() -> Pipeline:
    """Save a checkpoint as a model version."""
    outputs = ["timellm_model", "training_history"]
    return _namespaced(
        [Node(nodes.publish, [*INPUTS, "params:checkpoint"], outputs, name="publish", tags=GPU), _draw_history()]
    )


def create_import_pipeline() -> Pipeline:
    """Save a checkpoint of the published code as a model version."""
    inputs = [*INPUTS, "params:checkpoint"]
    return _namespaced([Node(nodes.import_upstream, inputs, "timellm_model", name="import_upstream", tags=GPU)])


def create_record_pipeline() -> Pipeline:
    """The run manifest, written last, when the test errors are known."""
    inputs = ["training_record", "test_metrics", "timellm_model", "training_history", "raw_series", "run_context"]
    return Pipeline([Node(nodes.record, inputs, "run_manifest", name="record", tags=GPU)])


def _namespaced(steps: list[Node]) -> Pipeline:
    groups = [f"params:{group}" for group in GROUPS]
    gather = Node(nodes.gather_settings, [*groups, "backbone"], "settings", name="gather_settings", tags=EITHER)
    inputs = [*DATA, "params:window", "params:model", "params:evaluation"]
    linear = Node(nodes.fit_linear, inputs, "linear_part", name="fit_linear", tags=EITHER)
    return Pipeline([gather, linear, *steps], namespace="train", prefix_datasets_with_namespace=False)


def _draw_history() -> Node:
    return Node(nodes.draw_history, "training_history", "history_plot", name="draw_history", tags=[CPU, PLOTS])
