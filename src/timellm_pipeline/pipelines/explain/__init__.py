"""What a training will do, in numbers and pictures, in seconds."""

from timellm_pipeline.pipelines.explain.pipeline import create_pipeline

__all__ = ["create_pipeline"]
