"""Newest data to a promotion or a refusal, and rollback."""

from timellm_pipeline.pipelines.retrain.pipeline import create_pipeline, create_rollback_pipeline

__all__ = ["create_pipeline", "create_rollback_pipeline"]
