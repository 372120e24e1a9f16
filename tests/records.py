"""Records that several tests need, built in one place."""

from typing import Any

from timellm_pipeline.training.result import Finished


def finished(**facts: Any) -> Finished:
    """The marker of a training of five steps; `facts` override single values."""
    plain: dict[str, Any] = {
        "best_step": 5,
        "validation_mse": 0.5,
        "alpha": {"alpha": 0.5, "fitted": 0.5},
        "stop_reason": "max_steps",
        "steps": 5,
        "resumed": [],
        "parameters": {"trainable": 1, "frozen": 0},
        "trained_in": "v",
        "content": {"torch": "2"},
        "history": "step\n5\n",
    }
    return Finished(**{**plain, **facts})
