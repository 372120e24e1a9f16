"""SIGTERM and Ctrl-C save at the next update and exit with the status that schedulers expect."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_resume import LONG, assert_same, train

from conftest import small_parameters
from timellm_pipeline.model.array_windows import ArrayWindows
from timellm_pipeline.model.batches import BatchMaker, load_batches
from timellm_pipeline.training import loop as loop_module
from timellm_pipeline.training.result import TrainingResult
from timellm_pipeline.workers.signals import STOPPING, StoppedBySignal, StopSignals

RARELY_SAVED = {**LONG, "save_steps": 1000}


def signal_at(monkeypatch: pytest.MonkeyPatch, name: str, call: int, number: int) -> None:
    """Send this process a signal in the middle of the given call of a method of the loop."""
    original = getattr(loop_module.TrainingLoop, name)
    calls: list[int] = []

    def signalling(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(loop_module.TrainingLoop, name, signalling)


@pytest.fixture(scope="module")
def complete(raw_series: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A training that no signal interrupts."""
    return train(raw_series, small_parameters(training=RARELY_SAVED), tmp_path_factory.mktemp("complete") / "store")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 143),
        (signal.SIGINT, 130),
        pytest.param(
            getattr(signal, "SIGHUP", None),
            129,
            marks=pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP"),
        ),
    ],
)
@pytest.mark.parametrize("where", ["_update", "_validate"])
def test_a_signal_saves_at_the_next_update_and_the_rerun_resumes_from_there(
    raw_series: pd.DataFrame,
    complete: TrainingResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    status: int,
    where: str,
) -> None:
    """A preemption with notice must lose no step, not even in the middle of a validation."""
    parameters = small_parameters(training=RARELY_SAVED)
    with monkeypatch.context() as patch:
        signal_at(patch, where, 8 if where == "_update" else 2, number)
        with pytest.raises(StoppedBySignal) as caught:
            train(raw_series, parameters, tmp_path / "store")
    step = 8 if where == "_update" else 10
    assert caught.value.status == status
    assert f"stopped at step {step}" in str(caught.value) and "resumes from there" in str(caught.value)
    resumed = train(raw_series, parameters, tmp_path / "store")
    assert resumed.record.resumed_from == [step]
    assert_same(resumed, complete)


def test_a_second_ctrl_c_exits_at_once_and_handlers_are_restored() -> None:
    """Somebody who presses twice does not want to wait for a step of half a minute."""
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause() if hasattr(signal, "pause") else None
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_run_under_nohup_continues_when_the_terminal_closes() -> None:
    """`nohup kedro run &` is meant for that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_workers_leave_signals_to_the_parent() -> None:
    """Ctrl-C reaches the process group; a worker that ends by it would end training without a checkpoint."""
    windows = ArrayWindows.of(np.zeros((1, 6), dtype=np.float32))
    made = load_batches(BatchMaker(windows, None), [], num_workers=1)
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        made.worker_init_fn(0)
        assert all(signal.getsignal(number) == signal.SIG_IGN for number in before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
