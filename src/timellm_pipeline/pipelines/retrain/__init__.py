"""Newest data to a promotion or a refusal, and the way back."""

from timellm_pipeline.pipelines.retrain.pipeline import create_pipeline, create_rollback_pipeline

__all__ = ["create_pipeline", "create_rollback_pipeline"]
