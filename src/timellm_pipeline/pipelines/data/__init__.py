"""Raw CSV to window index and run plan."""

from timellm_pipeline.pipelines.data.pipeline import create_model_pipeline, create_pipeline

__all__ = ["create_model_pipeline", "create_pipeline"]
