"""A trained model to test metrics and plots."""

from timellm_pipeline.pipelines.evaluate.pipeline import create_pipeline, create_settings_pipeline

__all__ = ["create_pipeline", "create_settings_pipeline"]
