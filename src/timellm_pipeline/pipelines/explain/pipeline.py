"""series + split_borders + run_plan -> plan_table, four plots."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.explain import nodes
from timellm_pipeline.pipelines.tags import CPU, PLOTS


def create_pipeline() -> Pipeline:
    """From the run plan to a table and plots that explain it."""
    plots = ["borders_plot", "window_plot", "batch_plot", "epoch_plot"]
    return Pipeline(
        [
            Node(
                nodes.tabulate,
                ["run_plan", "params:window", "params:model", "params:training", "params:explain"],
                "plan_table",
                name="tabulate",
                tags=CPU,
            ),
            Node(
                nodes.draw,
                ["series", "split_borders", "run_plan", "params:model", "params:explain"],
                plots,
                name="draw",
                tags=[CPU, PLOTS],
            ),
        ],
        namespace="explain",
        prefix_datasets_with_namespace=False,
    )
