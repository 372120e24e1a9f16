"""A training starts only on data sets that were made with its own parameters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import CheckpointError, ModelError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.preparation import prepare_training
from timellm_pipeline.training.run import train_model


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        ({"window": {"seq_len": 44}}, "seq_len: 48 -> 44"),
        ({"window": {"pred_len": 6}}, "pred_len: 12 -> 6"),
        ({"window": {"features": "S"}}, "features: M -> S"),
        ({"window": {"window_step": 2}}, "window_step: "),
        ({"window": {"patch_len": 16}}, "patch_len: 8 -> 16"),
        ({"window": {"stride": 3}}, "stride: "),
        ({"split": {"test_ratio": 0.1}}, "split.test_ratio: 0.2 -> 0.1"),
        ({"training": {"batch_size": 7}}, "batch_size: "),
        ({"training": {"max_steps": 3}}, "max_steps: "),
        ({"training": {"validate_steps": 2}}, "validate_steps: "),
        ({"evaluation": {"validation_step": 3}}, "validation_step: "),
        ({"evaluation": {"test_step": 3}}, "test_step: "),
        ({"evaluation": {"test_step": None}}, "derived_steps: () -> ('test_step',)"),
    ],
    ids=str,
)
def test_data_sets_of_other_parameters_are_refused(
    raw_series: pd.DataFrame, tmp_path: Path, groups: dict[str, Any], named: str
) -> None:
    """`--from-nodes train.train` reads the index and the plan of the last run: the model's config would be wrong."""
    made_with, wanted = small_parameters("none"), small_parameters("none", **groups)
    data = make_inputs(raw_series, made_with)
    store, source = CheckpointStore(tmp_path / "store"), BackboneSource(tmp_path / "cache")
    assert prepare_training(data, made_with, source, store).data is data
    with pytest.raises(ModelError, match="made with other parameters than this run") as caught:
        prepare_training(data, wanted, source, store)
    assert named in caught.value.what and "kedro run --pipeline data" in caught.value.do


@pytest.mark.parametrize("training", [{"save_steps": 3}, {"num_workers": 1}, {"log_steps": 2}], ids=str)
def test_parameters_that_the_data_sets_do_not_depend_on_may_change(
    raw_series: pd.DataFrame, tmp_path: Path, training: dict[str, Any]
) -> None:
    """More frequent checkpoints are no reason to run the data nodes again."""
    data = make_inputs(raw_series, small_parameters("none"))
    parameters = small_parameters("none", training=training)
    prepare_training(data, parameters, BackboneSource(tmp_path / "cache"), CheckpointStore(tmp_path / "store"))


def test_a_training_keeps_the_linear_part_that_it_started_with(raw_series: pd.DataFrame, tmp_path: Path) -> None:
    """Fitted again on another machine, the maps could differ from those whose residuals the network was trained on."""
    parameters = small_parameters()
    data, source, store = make_inputs(raw_series, parameters), BackboneSource(tmp_path / "c"), CheckpointStore(tmp_path)
    first = train_model(data, parameters, source, store, "v")
    folder = store.run(first.record.training_id).folder
    other = replace(first.model.linear, maps=first.model.linear.maps * 1.001)
    assert (
        prepare_training(data, parameters, source, store, linear=other).linear.digest() == first.model.linear.digest()
    )
    (folder / "linear.safetensors").write_bytes(other.as_bytes())
    with pytest.raises(CheckpointError, match="another linear part") as caught:
        train_model(data, parameters, source, store, "v2")
    assert "training.force=true" in caught.value.do
    forced = parameters.model_copy(update={"training": parameters.training.model_copy(update={"force": True})})
    again = train_model(data, forced, source, store, "v3")
    assert again.model.linear.digest() == first.model.linear.digest() and again.record.trained
