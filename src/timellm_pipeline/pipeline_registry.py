"""All pipelines by name.

The imports are explicit: with `--pipeline train` Kedro's `find_pipelines` imports only that package, and a pipeline
that combines several packages would fail.
"""

from kedro.pipeline import Pipeline

from timellm_pipeline.pipelines import compare, data, evaluate, explain, forecast, retrain, train
from timellm_pipeline.pipelines.evaluate.pipeline import create_prototypes_pipeline, create_settings_pipeline
from timellm_pipeline.pipelines.train.pipeline import (
    create_import_pipeline,
    create_publish_pipeline,
    create_record_pipeline,
    create_worker_inputs_pipeline,
)


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines by the name that `kedro run --pipeline` takes.

    `data`: raw CSV to run plan. `train`, which is also `__default__`: raw CSV to evaluation. `worker_inputs`: writes
    the inputs of a training for workers of several machines. `publish`: saves a checkpoint as a model. `evaluate`,
    `forecast`, `prototypes`: use a trained model. `explain`: describes a training
    before it runs. `compare`: trains variants and compares them. `import_upstream`: saves a checkpoint of the published
    code as a model. `retrain`: trains a candidate on the newest data and promotes or refuses it. `rollback`: restores
    the previous champion.
    """
    data_pipeline = data.create_pipeline()
    model_data = create_settings_pipeline() + data.create_model_pipeline()
    full_training = data_pipeline + train.create_pipeline() + evaluate.create_pipeline() + create_record_pipeline()
    return {
        "data": data_pipeline,
        "explain": data_pipeline + explain.create_pipeline(),
        "train": full_training,
        "worker_inputs": data_pipeline + create_worker_inputs_pipeline(),
        "publish": data_pipeline + create_publish_pipeline(),
        "import_upstream": data_pipeline + create_import_pipeline(),
        "evaluate": model_data + evaluate.create_pipeline(),
        "forecast": forecast.create_pipeline(),
        "prototypes": model_data + create_prototypes_pipeline(),
        "compare": data_pipeline + compare.create_pipeline(),
        "retrain": data_pipeline + retrain.create_pipeline(),
        "rollback": retrain.create_rollback_pipeline(),
        "__default__": full_training,
    }
