"""series + split_borders + run_plan -> plan_table, four pictures."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.explain import nodes


def create_pipeline() -> Pipeline:
    """What the data pipeline's run plan means."""
    pictures = ["borders_plot", "window_plot", "batch_plot", "epoch_plot"]
    return Pipeline(
        [
            Node(nodes.tell, ["run_plan", "params:training", "params:explain"], "plan_table", name="tell"),
            Node(
                nodes.draw,
                ["series", "split_borders", "run_plan", "params:model", "params:explain"],
                pictures,
                name="draw",
            ),
        ],
        namespace="explain",
        prefix_datasets_with_namespace=False,
    )
