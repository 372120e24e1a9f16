"""The run plan to a table and plots that describe a training before it runs. It takes seconds."""

from timellm_pipeline.pipelines.explain.pipeline import create_pipeline

__all__ = ["create_pipeline"]
