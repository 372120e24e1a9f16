"""Every pipeline by name.

The imports are explicit: with `--pipeline train` Kedro's `find_pipelines` imports that one package alone, and a
pipeline put together from several would fail.
"""

from kedro.pipeline import Pipeline

from timellm_pipeline.pipelines import data, evaluate, explain, forecast, retrain, train
from timellm_pipeline.pipelines.evaluate.pipeline import create_prototypes_pipeline, create_settings_pipeline
from timellm_pipeline.pipelines.train.pipeline import (
    create_import_pipeline,
    create_publish_pipeline,
    create_record_pipeline,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines by the name that `kedro run --pipeline` takes.

    `data`: raw CSV to run plan. `train`, which is `__default__`: raw CSV to evaluation. `publish`: a checkpoint becomes
    a model. `evaluate`, `forecast`, `prototypes`: of a trained model. `explain`: what a training will do.
    `import_upstream`: a checkpoint of the published code becomes a model. `retrain`: newest data to a promotion or a
    refusal; `rollback`: the champion before.
    """
    made = data.create_pipeline()
    as_trained = create_settings_pipeline() + data.create_pipeline(settings="model_")
    whole = made + train.create_pipeline() + evaluate.create_pipeline() + create_record_pipeline()
    return {
        "data": made,
        "explain": made + explain.create_pipeline(),
        "train": whole,
        "publish": made + create_publish_pipeline(),
        "import_upstream": made + create_import_pipeline(),
        "evaluate": as_trained + evaluate.create_pipeline(),
        "forecast": create_settings_pipeline() + forecast.create_pipeline(),
        "prototypes": as_trained + create_prototypes_pipeline(),
        "retrain": made + retrain.create_pipeline(),
        "rollback": retrain.create_rollback_pipeline(),
        "__default__": whole,
    }
