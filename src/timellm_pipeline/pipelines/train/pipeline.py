"""scaled_series + scaler + window_index + run_plan + backbone + step_checkpoints -> timellm_model."""

from kedro.pipeline import Node, Pipeline

from timellm_pipeline.pipelines.train import nodes

GROUPS = ("data", "split", "window", "prompt", "model", "backbone", "training", "evaluation")


def create_pipeline() -> Pipeline:
    """Training itself and its curve."""
    steps = [
        Node(
            nodes.train,
            [
                "scaled_series",
                "scaler",
                "window_index",
                "run_plan",
                "backbone",
                "step_checkpoints",
                "run_context",
                *(f"params:{group}" for group in GROUPS),
            ],
            ["timellm_model", "training_history", "training_record"],
            name="train",
        ),
        Node(nodes.draw_history, "training_history", "history_plot", name="draw_history"),
    ]
    return Pipeline(steps, namespace="train", prefix_datasets_with_namespace=False)


def create_record_pipeline() -> Pipeline:
    """The run manifest, made last, when the test's figures are known."""
    inputs = ["training_record", "test_metrics", "run_context"]
    return Pipeline([Node(nodes.record, inputs, "run_manifest", name="record")])
