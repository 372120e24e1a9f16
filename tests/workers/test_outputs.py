"""Outputs that worker processes compute have the bits of one process."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_workers import TRAINING, trained

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import ModelError
from timellm_pipeline.linear.remainder import Remainder
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.model.inference import network_outputs, own_outputs
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import WorkersParams
from timellm_pipeline.workers.group import WorkerGroup


@pytest.mark.long
def test_workers_compute_the_outputs_of_one_process(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """Also with shared layers, and when the last round has a batch for one worker only.

    A missing backbone is an error before.
    """
    llama = shutil.copytree(backbones["llama"], tmp_path / "llama")
    trained(raw_series, llama, tmp_path, 1).model.publish(tmp_path / "model")
    saved, source = SavedModel.read(tmp_path / "model"), BackboneSource(tmp_path / "cache")
    data = make_inputs(raw_series, small_parameters(llama, training=TRAINING))
    windows = data.windows("test")
    batch_size = len(windows) // 4 - 1  # five batches
    assert -(-len(windows) // batch_size) == 5
    alone = TimeLLM.from_saved(saved, source, Compute(), correction=True)
    expected = np.concatenate(
        [batch.correction for batch in alone.forecast_parts(windows, batch_size) if batch.correction is not None]
    )
    assert np.abs(expected).max() > 0
    for shard in ("none", "layers"):
        workers = WorkersParams(processes=2, shard=shard, restarts=0)
        model = TimeLLM.from_saved(saved, source, Compute(), correction=True, workers=workers)
        found = [batch.correction for batch in model.forecast_parts(windows, batch_size)]
        np.testing.assert_array_equal(np.concatenate([part for part in found if part is not None]), expected)
    shutil.rmtree(llama)
    with pytest.raises(ModelError, match="there is no folder"):
        TimeLLM.from_saved(saved, source, Compute(), correction=True, workers=workers)


def test_a_batch_is_repeated_where_a_worker_has_none_of_its_own(
    raw_series: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every worker runs equally many batches, and the outputs of all batches come in order."""
    parameters = small_parameters("none", model={"linear": "none"})
    windows = Remainder(make_inputs(raw_series, parameters).windows("test"), None)
    model = TimeLLM(parameters.window, parameters.prompt, parameters.model, None)
    arguments = (model.network, None, Compute(), windows, -(-len(windows) // 5))
    expected = list(network_outputs(*arguments))
    own = []
    for rank in range(2):
        group = WorkerGroup(rank, 2)
        monkeypatch.setattr(WorkerGroup, "current", classmethod(lambda cls, group=group: group))
        own.append(list(own_outputs(*arguments)))
    assert [len(expected), len(own[0]), len(own[1])] == [5, 3, 3]
    for number, output in enumerate(expected):
        np.testing.assert_array_equal(own[number % 2][number // 2][1], output)
    np.testing.assert_array_equal(own[1][-1][1], expected[-1])
