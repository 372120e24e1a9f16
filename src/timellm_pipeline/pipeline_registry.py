"""Every pipeline by name.

The imports are explicit: with `--pipeline train` Kedro's `find_pipelines` imports that one package alone, and a
pipeline put together from several would fail.
"""

from kedro.pipeline import Pipeline

from timellm_pipeline.pipelines import data, evaluate, train
from timellm_pipeline.pipelines.train.pipeline import create_publish_pipeline, create_record_pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """`data`, `train` (raw CSV to evaluation), `publish` (a checkpoint becomes a model),
    `evaluate` (a trained model), and `__default__`, which is `train`."""
    whole = data.create_pipeline() + train.create_pipeline() + evaluate.create_pipeline() + create_record_pipeline()
    return {
        "data": data.create_pipeline(),
        "train": whole,
        "publish": data.create_pipeline() + create_publish_pipeline(),
        "evaluate": evaluate.create_settings_pipeline()
        + data.create_pipeline(settings="model_")
        + evaluate.create_pipeline(),
        "__default__": whole,
    }
