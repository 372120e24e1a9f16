"""How a series is cut into windows, and a window into patches."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from timellm_pipeline.parameters.data import clean_name
from timellm_pipeline.parameters.group import Group


class WindowParams(Group):
    """`window`: lengths in rows, steps in rows, patches in points."""

    seq_len: int = Field(default=96, ge=2)
    """Points of a window that the model sees."""

    pred_len: int = Field(default=24, ge=1)
    """Points after them that it forecasts: the horizon."""

    window_step: int = Field(default=1, ge=1)
    """Rows between the starts of consecutive training windows of a channel; 1 in the published code."""

    patch_len: int = Field(default=16, ge=1)
    """Points in a patch."""

    stride: int = Field(default=8, ge=1)
    """Points between the starts of consecutive patches inside one window."""

    features: Literal["M", "S", "MS"] = "M"
    """`M`: every channel in and out, each as windows of its own; `S`: the target alone;
    `MS`: trained on every channel, validated, tested and forecast on the target alone."""

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
        """Points between two consecutive patches that no patch holds; 0 unless `stride` exceeds `patch_len`."""
        return max(self.stride - self.patch_len, 0)

    @property
    def patches_per_window(self) -> int:
        """Patches of one window, the one made of the repeated last value included.

        Source: Time-LLM (Jin et al. 2024), `(seq_len - patch_len) / stride + 2`.
        """
        return (self.seq_len - self.patch_len) // self.stride + 2
