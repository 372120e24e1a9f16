"""series + scaled_series + … + registry -> retrain_report; registry -> rollback_report."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.retrain import nodes
from timellm_pipeline.pipelines.tags import CPU, EITHER, GPU
from timellm_pipeline.pipelines.train.nodes import gather_settings
from timellm_pipeline.pipelines.train.pipeline import GROUPS


def create_pipeline() -> Pipeline:
    """The nodes after the data pipeline: settings, and retraining."""
    groups = [f"params:{group}" for group in GROUPS]
    data = ["series", "split_borders", "scaled_series", "scaler", "window_index", "run_plan"]
    handles = ["backbone", "step_checkpoints", "registry", "run_context"]
    return Pipeline(
        [
            Node(gather_settings, [*groups, "backbone"], "settings", name="gather_settings", tags=EITHER),
            Node(
                nodes.with_gates,
                ["settings", "params:retrain", "params:gates"],
                "retrain_settings",
                name="with_gates",
                tags=EITHER,
            ),
            Node(nodes.retrain, ["retrain_settings", *data, *handles], "retrain_report", name="retrain", tags=GPU),
        ],
        namespace="retrain",
        prefix_datasets_with_namespace=False,
    )


def create_rollback_pipeline() -> Pipeline:
    """Return to the previous champion."""
    return Pipeline([Node(nodes.rollback, ["registry"], "rollback_report", name="rollback", tags=CPU)])
