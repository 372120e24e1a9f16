"""scaled_series + scaler + window_index + run_plan + backbone + step_checkpoints -> comparison."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.compare import nodes
from timellm_pipeline.pipelines.tags import EITHER, GPU
from timellm_pipeline.pipelines.train.nodes import gather_settings
from timellm_pipeline.pipelines.train.pipeline import GROUPS


def create_pipeline() -> Pipeline:
    """The nodes after the data pipeline: settings, and the comparison."""
    groups = [*(f"params:{group}" for group in GROUPS), "backbone"]
    data = ["scaled_series", "scaler", "window_index", "run_plan"]
    handles = ["backbone", "step_checkpoints", "run_context"]
    outputs = ["comparison", "comparison_table", "comparison_errors"]
    return Pipeline(
        [
            Node(gather_settings, groups, "settings", name="gather_settings", tags=EITHER),
            Node(
                nodes.with_variants,
                ["settings", "params:compare"],
                "compare_settings",
                name="with_variants",
                tags=EITHER,
            ),
            Node(nodes.compare, ["compare_settings", *data, *handles], outputs, name="compare", tags=GPU),
        ],
        namespace="compare",
        prefix_datasets_with_namespace=False,
    )
