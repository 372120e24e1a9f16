"""How long, how fast and how safely the model is trained."""

from typing import Any, Literal

from pydantic import Field, field_validator

from timellm_pipeline.parameters.group import Group


class TrainingParams(Group):
    """`training`: all counts are in steps (= iterations: one batch through the model) unless stated otherwise."""

    batch_size: int = Field(default=32, ge=1)
    """Windows in a batch."""

    save_steps: int = Field(default=500, ge=1)
    """Steps between checkpoints."""

    validate_steps: int | None = Field(default=None, ge=1)
    """Steps between validations; null: at the end of each epoch. One always runs at the end."""

    log_steps: int = Field(default=50, ge=1)
    """Steps between rows of the history (and log lines where there is no terminal)."""

    keep_checkpoints: int = Field(default=3, ge=2)
    """Newest checkpoints that are kept, besides the best one."""

    max_epochs: int = Field(default=10, ge=1)
    """Epochs at most."""

    max_steps: int | None = Field(default=None, ge=1)
    """Steps at most; null: as `max_epochs` says."""

    accumulate: int = Field(default=1, ge=1)
    """Steps to one update of the weights."""

    num_workers: int = Field(default=0, ge=0, le=256)
    """Processes that prepare batches beside the training one. They change speed, never results."""

    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    """Adam's peak learning rate."""

    schedule: Literal["cosine", "constant", "halving"] = "cosine"
    """`cosine`: short warm-up, then down to zero; `constant`; `halving`: halved each epoch after the second,
    which is what the published code does under its default settings."""

    patience: int = Field(default=3, ge=1)
    """Early-stopping patience: validations without improvement after which training stops."""

    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """`auto`: bf16 where the device has it natively, fp16 on an older GPU, no (float32) on a CPU."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_in_yaml(cls, value: Any) -> Any:
        if value is True:
            raise ValueError("true is not a precision; write auto, no, bf16 or fp16")
        return "no" if value is False else value  # YAML reads an unquoted `no` as false

    seed: int = Field(default=2021, ge=0)
    """Start of every random choice: initial weights, order of windows, dropout."""

    deterministic: bool = False
    """Only deterministic kernels on a GPU (slower). On a CPU training is deterministic anyway."""

    compile: bool = False
    """Run the patches' way through the backbone as one compiled function (torch.compile; needs a C++ compiler on a
    CPU): some percent faster after half a minute of compiling. Last digits change, so it is another training."""

    resume: Literal["auto", "exact"] = "auto"
    """`auto`: resume from a checkpoint of another package version, with a warning; `exact`: refuse."""

    force: bool = False
    """Retrain even if this training id is already finished. An unfinished run is still resumed."""
