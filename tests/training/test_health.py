"""A run that fails stops, names the place, and never replaces a good checkpoint by a bad one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_resume import LONG, train

from conftest import small_parameters
from timellm_pipeline.errors import TrainingError
from timellm_pipeline.evaluation.correction import PartErrors
from timellm_pipeline.model.network import Network
from timellm_pipeline.training import loop as loop_module
from timellm_pipeline.training.checkpoint import CheckpointStore


def poison(monkeypatch: pytest.MonkeyPatch, step: int, what: str) -> None:
    """Make the loss, or only its gradient, not a number from that step on."""
    original = loop_module.TrainingLoop._update

    def poisoned(self: Any, *args: Any, **kwargs: Any) -> None:
        if self.state.step >= step - 1:
            with torch.no_grad():
                if what == "loss":
                    self.model.network.head.bias.fill_(float("nan"))
                else:
                    self.model.network.head.bias.register_hook(lambda gradient: gradient * float("nan"))
        original(self, *args, **kwargs)

    monkeypatch.setattr(loop_module.TrainingLoop, "_update", poisoned)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_number_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A NaN in the weights makes every later checkpoint useless."""
    parameters = small_parameters(training=LONG)
    with monkeypatch.context() as patch:
        poison(patch, 9, what)
        with pytest.raises(TrainingError) as caught:
            train(raw_series, parameters, tmp_path / "store")
    assert f"the {what} is not a finite number at step 9" in caught.value.what
    assert "training windows" in caught.value.where and "learning_rate" in caught.value.do
    (folder,) = (tmp_path / "store").iterdir()
    newest = CheckpointStore(tmp_path / "store").run(folder.name).newest()
    assert newest is not None and newest.step == 8
    assert all(torch.isfinite(weight).all() for weight in newest.weights().values())
    assert train(raw_series, parameters, tmp_path / "store").record.resumed_from == [8]


def test_a_validation_that_is_not_finite_never_becomes_best(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the published code a NaN passes every comparison and is saved as the new best model."""
    original = loop_module.part_errors
    calls: list[int] = []

    def sometimes_nan(*args: Any, **kwargs: Any) -> PartErrors:
        errors = original(*args, **kwargs)
        calls.append(1)
        return replace(errors, products=errors.products * np.nan) if len(calls) > 1 else errors

    monkeypatch.setattr(loop_module, "part_errors", sometimes_nan)
    result = train(raw_series, small_parameters(model={"linear": "none"}, training=LONG), tmp_path / "store")
    assert result.record.best_step == 5 and np.isfinite(result.record.validation_mse)


def test_without_one_finite_validation_there_is_no_model(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An untrained model published as a result is worse than none."""
    monkeypatch.setattr(PartErrors, "mse", lambda self, alpha: float("nan"))
    with pytest.raises(TrainingError, match="no validation MSE is finite"):
        train(raw_series, small_parameters(), tmp_path / "store")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried 2.00 GiB"), RuntimeError("can't allocate memory: 9 bytes")],
    ids=["gpu", "cpu"],
)
def test_out_of_memory_says_what_to_lower_and_keeps_the_checkpoint(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A device's own error names bytes and no parameter."""
    original, calls = Network.forward, []

    def failing(self: Network, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            raise error
        return original(self, *args)

    monkeypatch.setattr(Network, "forward", failing)
    with pytest.raises(TrainingError, match="out of memory on cpu") as caught:
        train(raw_series, small_parameters(), tmp_path / "store")
    assert "training.batch_size 8" in caught.value.where and "step 4 is kept" in caught.value.where
    assert "training.accumulate" in caught.value.do
