"""A trained model and the newest rows to a forecast."""

from timellm_pipeline.pipelines.forecast.pipeline import create_pipeline

__all__ = ["create_pipeline"]
