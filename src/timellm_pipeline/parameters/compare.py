"""Variants of a training that the `compare` pipeline compares."""

from typing import Any

from pydantic import Field, field_validator

from timellm_pipeline.parameters.group import Group

CHANGEABLE = ("backbone", "prompt", "model", "training")  # the others change the windows, or how they are evaluated


class CompareParams(Group):
    """`compare`: named variants, each trained with several seeds on the same windows."""

    num_seeds: int = Field(default=3, ge=1, le=100)
    """Trainings of each variant: `training.seed` and the numbers after it."""

    variants: dict[str, dict[str, Any]] = Field(
        default={
            "language model": {},
            "no language model": {"backbone.name": "none"},
            "random weights": {"backbone.weights": "random"},
        },
        min_length=1,
    )
    """Parameters that each variant changes, by their full names. The first variant is the reference."""

    @field_validator("variants")
    @classmethod
    def _change_training_only(cls, variants: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for variant, changes in variants.items():
            for name in changes:
                if name.split(".")[0] not in CHANGEABLE or name.count(".") != 1 or name == "training.seed":
                    raise ValueError(
                        f"variant `{variant}` changes `{name}`; a variant can change parameters of "
                        f"{', '.join(CHANGEABLE)} (not training.seed), written as group.name"
                    )
        return variants
