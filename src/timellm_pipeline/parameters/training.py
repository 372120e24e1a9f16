"""Training: length, optimizer, checkpoints, early stopping, precision."""

from typing import Any, Literal

from pydantic import Field, field_validator

from timellm_pipeline.parameters.group import Group


class TrainingParams(Group):
    """`training`: all counts are in steps (= iterations: one batch through the model) unless stated otherwise."""

    batch_size: int = Field(default=32, ge=1)
    """Windows per batch."""

    save_steps: int = Field(default=500, ge=1)
    """Steps between checkpoints."""

    validate_steps: int | None = Field(default=None, ge=1)
    """Steps between validations; null: once at the end of each epoch. The last step is always validated."""

    log_steps: int = Field(default=50, ge=1)
    """Steps between rows of the history (and log lines if the output is not a terminal)."""

    keep_checkpoints: int = Field(default=3, ge=2)
    """Number of newest checkpoints to keep, in addition to the best one."""

    max_epochs: int = Field(default=10, ge=1)
    """Maximum number of epochs."""

    max_steps: int | None = Field(default=None, ge=1)
    """Maximum number of steps; null: limited by `max_epochs`."""

    accumulate: int = Field(default=1, ge=1)
    """Gradient accumulation: steps per update of the weights."""

    num_workers: int = Field(default=0, ge=0, le=256)
    """Processes that prepare batches, in addition to the training process. They change the speed, never the result."""

    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    """Peak learning rate of Adam."""

    schedule: Literal["cosine", "constant", "halving"] = "cosine"
    """`cosine`: short warm-up, then decay to zero; `constant`; `halving`: halved in each epoch after the second, as the
    published code does under its default settings."""

    patience: int = Field(default=3, ge=1)
    """Early-stopping patience: training stops after this many validations (not epochs) without improvement."""

    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """`auto`: bf16 on a GPU with native support, fp16 on an older GPU, no (float32) on a CPU."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_in_yaml(cls, value: Any) -> Any:
        if value is True:
            raise ValueError("true is not a precision; write auto, no, bf16 or fp16")
        return "no" if value is False else value  # YAML reads an unquoted `no` as false

    seed: int = Field(default=2021, ge=0)
    """Random seed: initial weights, order of windows, dropout."""

    deterministic: bool = False
    """Use deterministic kernels only on a GPU (slower). Training on a CPU is deterministic anyway."""

    compile: bool = False
    """torch.compile for the pass of the patches through the backbone (needs a C++ compiler on a CPU): some percent
    faster after half a minute of compiling. The last digits change, so the training id changes."""

    resume: Literal["auto", "exact"] = "auto"
    """Checkpoints of another version of the package or its libraries, or of another device: `auto` resumes with a
    warning, `exact` refuses."""

    force: bool = False
    """Retrain even if this training id is already finished. An unfinished run is still resumed."""
