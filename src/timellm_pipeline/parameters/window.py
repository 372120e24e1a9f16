"""How a series is cut into windows (= samples), and a window into patches."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from timellm_pipeline.parameters.data import clean_name
from timellm_pipeline.parameters.group import Group


class WindowParams(Group):
    """`window`: lengths in rows, steps in rows, patches in points."""

    seq_len: int = Field(default=96, ge=2)
    """Input points of a window: the lookback."""

    pred_len: int = Field(default=24, ge=1)
    """Points to forecast after the input: the horizon."""

    window_step: int | None = Field(default=1, ge=1)
    """Rows between the starts of neighbouring training windows of a channel; 1 in the published code; null: derived
    from the number of windows."""

    patch_len: int = Field(default=16, ge=1)
    """Points in a patch."""

    stride: int = Field(default=8, ge=1)
    """Points between the starts of neighbouring patches inside one window."""

    features: Literal["M", "S", "MS"] = "M"
    """`M`: every channel in and out, each as windows of its own; `S`: the target only;
    `MS`: trained on every channel; validation, test and forecast use the target only."""

    target: str = "OT"
    """Name of the target channel."""

    @field_validator("target")
    @classmethod
    def _as_in_the_file(cls, name: str) -> str:
        return clean_name(name)

    @model_validator(mode="after")
    def _patch_fits_window(self) -> "WindowParams":
        if self.patch_len > self.seq_len:
            raise ValueError(
                f"patch_len {self.patch_len} is longer than seq_len {self.seq_len}; lower patch_len or raise seq_len"
            )
        return self

    @property
    def skipped_points(self) -> int:
        """Points between two neighbouring patches that no patch contains; 0 unless `stride` exceeds `patch_len`."""
        return max(self.stride - self.patch_len, 0)

    @property
    def patches_per_window(self) -> int:
        """Number of patches per window, including the one that contains the repeated last value.

        Source: Time-LLM (Jin et al. 2024), `(seq_len - patch_len) / stride + 2`.
        """
        return (self.seq_len - self.patch_len) // self.stride + 2
