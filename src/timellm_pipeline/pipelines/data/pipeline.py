"""raw_series -> series -> split_borders -> scaler -> scaled_series -> window_index -> run_plan."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.data import nodes
from timellm_pipeline.pipelines.tags import CPU, DATA
from timellm_pipeline.series import prepare

PLANNED = ("window", "model", "training", "evaluation")


def create_pipeline() -> Pipeline:
    """From the raw file to the run plan."""
    plan = ["window_index", "split_borders", *(f"params:{group}" for group in PLANNED)]
    return _namespaced(
        [
            Node(prepare.validate, ["raw_series", "params:data", "params:window"], "series", name="validate"),
            *_windows("params:split", "params:window"),
            Node(nodes.plan, plan, "run_plan", name="plan"),
        ]
    )


def create_model_pipeline() -> Pipeline:
    """From the raw file to the window index, with the channels and the parameters of a trained model."""
    validate = Node(nodes.validate_for_model, ["raw_series", "timellm_model", "params:data"], "series", name="validate")
    return _namespaced([validate, *_windows("model_split", "model_window")])


def _windows(split: str, window: str) -> list[Node]:
    return [
        Node(prepare.split, ["series", split, window, "params:evaluation"], "split_borders", name="split"),
        Node(prepare.fit, ["series", "split_borders"], "scaler", name="fit"),
        Node(prepare.scale, ["series", "split_borders", "scaler"], "scaled_series", name="scale"),
        Node(
            prepare.index,
            ["scaled_series", "split_borders", window, "params:evaluation"],
            "window_index",
            name="index",
        ),
    ]


def _namespaced(steps: list[Node]) -> Pipeline:
    return Pipeline(steps, namespace="data", prefix_datasets_with_namespace=False, tags=[DATA, CPU])
