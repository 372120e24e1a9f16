"""Nodes around training. torch takes seconds to import, so they import it when they run."""

from typing import Any

import pandas as pd

from timellm_pipeline.parameters import (
    BackboneParams,
    DataParams,
    EvaluationParams,
    ModelParams,
    Parameters,
    PromptParams,
    SplitParams,
    TrainingParams,
    WindowParams,
)


def train(
    scaled_series: pd.DataFrame,
    scaler: dict[str, Any],
    window_index: pd.DataFrame,
    run_plan: dict[str, Any],
    backbone: Any,
    step_checkpoints: Any,
    run_context: dict[str, Any],
    data_params: DataParams,
    split_params: SplitParams,
    window_params: WindowParams,
    prompt_params: PromptParams,
    model_params: ModelParams,
    backbone_params: BackboneParams,
    training_params: TrainingParams,
    evaluation_params: EvaluationParams,
) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """The model that validation chose, the training history, and the facts for the manifest."""
    from timellm_pipeline.series.plan import RunPlan
    from timellm_pipeline.series.scaling import Scaler
    from timellm_pipeline.training.run import TrainingInputs, train_model

    parameters = Parameters(
        data=data_params,
        split=split_params,
        window=window_params,
        prompt=prompt_params,
        model=model_params,
        backbone=backbone_params,
        training=training_params,
        evaluation=evaluation_params,
    )
    inputs = TrainingInputs(
        scaled_series, Scaler.model_validate(scaler), window_index, RunPlan.model_validate(run_plan)
    )
    result = train_model(inputs, parameters, backbone, step_checkpoints, run_context["version"])
    return (
        result.model,
        result.history,
        {**result.record, "parameters_used": parameters.model_dump(mode="json")},
    )


def draw_history(training_history: pd.DataFrame) -> Any:
    """The loss curve."""
    from timellm_pipeline.evaluation.plots import plot_history

    return plot_history(training_history)


def record(
    training_record: dict[str, Any], test_metrics: dict[str, Any], run_context: dict[str, Any]
) -> dict[str, Any]:
    """The run manifest: what was done, by what, from what, and how good it is."""
    models = test_metrics["models"]
    summary = {name: {"mse": of["scaled"]["mse"], "mae": of["scaled"]["mae"]} for name, of in models.items()}
    return {
        **training_record,
        "run": run_context,
        "test": {"num_windows": test_metrics["num_windows"], **summary},
    }
