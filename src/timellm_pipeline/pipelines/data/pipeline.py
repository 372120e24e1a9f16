"""raw_series -> series -> split_borders -> scaler -> scaled_series -> window_index -> run_plan."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.data import nodes


def create_pipeline(settings: str = "params:") -> Pipeline:
    """The data pipeline.

    Args:
        settings: where groups come from: `params:` reads parameters, `model_` the settings of a trained model
            (the data sets `model_window` and so on).
    """
    data, split, window = f"{settings}data", f"{settings}split", f"{settings}window"
    steps = [
        Node(nodes.validate, ["raw_series", data, window], "series", name="validate"),
        Node(nodes.split, ["series", split, window, "params:evaluation"], "split_borders", name="split"),
        Node(nodes.fit, ["series", "split_borders"], "scaler", name="fit"),
        Node(nodes.scale, ["series", "scaler"], "scaled_series", name="scale"),
        Node(
            nodes.index,
            ["scaled_series", "split_borders", window, "params:evaluation"],
            "window_index",
            name="index",
        ),
    ]
    if settings == "params:":
        plan_inputs = ["window_index", "split_borders", window, "params:training", "params:evaluation"]
        steps.append(Node(nodes.plan, plan_inputs, "run_plan", name="plan"))
    return Pipeline(steps, namespace="data", prefix_datasets_with_namespace=False)
