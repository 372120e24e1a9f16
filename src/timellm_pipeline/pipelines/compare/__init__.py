"""Variants of a training, compared on the same windows."""

from timellm_pipeline.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
