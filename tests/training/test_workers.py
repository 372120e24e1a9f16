"""Several worker processes give the bytes of one, and end as one."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import ROOT, make_inputs, small_parameters
from timellm_pipeline.errors import BackboneError, ParameterError, TrainingError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import parse_parameters
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.gradients import Gradients
from timellm_pipeline.training.handoff import Handoff
from timellm_pipeline.training.launch import number_of_workers, train
from timellm_pipeline.training.preparation import prepare_training
from timellm_pipeline.training.result import TrainingResult
from timellm_pipeline.training.updates import Updates
from timellm_pipeline.worker_group import WorkerGroup

TRAINING = {"accumulate": 3, "max_steps": 20, "save_steps": 6, "validate_steps": 9, "log_steps": 3}


def trained(raw: pd.DataFrame, backbone: Path, root: Path, processes: int, **groups: dict[str, Any]) -> TrainingResult:
    """A training with workers; its backbone's cache and its checkpoints are below the root."""
    groups = {"training": TRAINING, "workers": {"processes": processes, "restarts": 1}, **groups}
    parameters = small_parameters(backbone, **groups)
    source, store = BackboneSource(root / "cache"), CheckpointStore(root / "steps")
    return train(make_inputs(raw, parameters), parameters, source, store, "v")


def digest(result: TrainingResult) -> str:
    """sha256 of weights, intervals and history without times."""
    weights = [result.model.weights[name].numpy() for name in sorted(result.model.weights)]
    assert result.model.intervals is not None
    history = result.history[["step", "loss", "validation_mse"]].to_numpy(dtype=float)
    content = [array.tobytes() for array in (*weights, result.model.intervals.widths, history)]
    return hashlib.sha256(b"".join(content)).hexdigest()


@pytest.mark.long
@pytest.mark.parametrize("linear", ["plain", "none"])
def test_any_number_of_workers_gives_the_bytes_of_one(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path, linear: str
) -> None:
    """Updates of three steps, the last one of two; validation is shared too."""
    results = [
        trained(raw_series, backbones["llama"], tmp_path / str(count), count, model={"linear": linear})
        for count in (1, 2, 3)
    ]
    assert len({digest(result) for result in results}) == 1
    for name in ("training_id", "content_id", "validation_mse", "steps_run", "trained"):
        assert len({getattr(result.record, name) for result in results}) == 1, name
    assert not list(tmp_path.rglob(".work-*")), "the inputs of the workers are removed"


@pytest.mark.long
def test_an_error_of_a_worker_is_the_error_of_the_training(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """One message, without a restart."""
    damaged = tmp_path / "llama"
    for path in backbones["llama"].iterdir():
        damaged.mkdir(exist_ok=True)
        (damaged / path.name).write_bytes(path.read_bytes())
    (damaged / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BackboneError) as caught:
        trained(raw_series, damaged, tmp_path, 2)
    assert str(damaged) in caught.value.where or str(damaged) in caught.value.what
    assert not list(tmp_path.rglob(".work-*"))


SCRIPT = """
import sys
from pathlib import Path
import pandas as pd
sys.path[:0] = [sys.argv[1] + "/tests", sys.argv[1] + "/benchmarks"]
from test_workers import trained
if __name__ == "__main__":
    raw = pd.read_csv(sys.argv[2])
    steps = {"accumulate": 3, "max_steps": 600, "max_epochs": 100, "save_steps": 6, "validate_steps": 300}
    trained(raw, Path(sys.argv[3]), Path(sys.argv[4]), 2, training=steps)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the workers are found in /proc")
@pytest.mark.parametrize("killed", ["worker", "parent"])
def test_what_is_killed_is_resumed_with_the_same_bytes(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path, killed: str
) -> None:
    """A worker is started again; without the parent, the workers save and leave."""
    csv = tmp_path / "series.csv"
    raw_series.to_csv(csv, index=False)
    arguments = [str(ROOT), str(csv), str(backbones["llama"]), str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/training"), str(ROOT / "src")])}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], env=environment)
    workers = wait_for_workers(tmp_path / "killed", process)
    os.kill(workers[0] if killed == "worker" else process.pid, signal.SIGKILL)
    assert process.wait(300) == (0 if killed == "worker" else -signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(is_alive, workers))
    steps = {"accumulate": 3, "max_steps": 600, "max_epochs": 100, "save_steps": 6, "validate_steps": 300}
    threads = torch.get_num_threads()
    resumed = trained(raw_series, backbones["llama"], tmp_path / "killed", 1, training=steps)
    whole = trained(raw_series, backbones["llama"], tmp_path / "whole", 1, training=steps)
    assert torch.get_num_threads() == threads and digest(resumed) == digest(whole)
    assert len(resumed.record.resume_chain) == 1 and resumed.record.resume_chain[0].byte_equal


def wait_for_workers(root: Path, process: "subprocess.Popen[bytes]") -> list[int]:
    """Process numbers of the workers, after the second checkpoint."""
    deadline = time.monotonic() + 120
    while len(list(root.glob("steps/*/step-*"))) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if runs_in(path, root)]


def runs_in(cmdline: Path, root: Path) -> bool:
    """Whether a command line in /proc is that of a worker of a training below a folder."""
    try:
        words = cmdline.read_bytes().decode(errors="replace").split("\0")
    except OSError:  # the process has ended
        return False
    return "work" in words and any(word.startswith(str(root)) for word in words)


def is_alive(number: int) -> bool:
    """Whether a process exists and is not waiting for its parent to read its status."""
    try:
        return "State:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


def test_the_inputs_are_read_back_as_they_were(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """Plain arrays, Parquet and JSON; the same training id."""
    parameters = small_parameters(backbones["llama"], training=TRAINING, workers={"processes": 2})
    data, source, store = make_inputs(raw_series, parameters), BackboneSource(tmp_path / "c"), CheckpointStore(tmp_path)
    training = prepare_training(data, parameters, source, store)
    Handoff(tmp_path, data, parameters, source, store, "v", None, training.linear).write()
    read = Handoff.read(tmp_path)
    again = prepare_training(read.data, read.parameters, read.source, read.store, linear=read.linear)
    assert again.facts == training.facts and again.linear.digest() == training.linear.digest()
    assert read.version == "v" and read.start is None and read.error() is None and read.stop() is None
    read.report_error(TrainingError("a", where="b", do="c"))
    read.report_error(TrainingError("later", where="b", do="c"))
    assert isinstance(read.error(), TrainingError) and str(read.error()) == "a\n  where: b\n  do:    c"
    read.report_stop(15, "stopped")
    read.report_done(7)
    assert read.stop() == (15, "stopped") and read.steps_run() == 7
    with pytest.raises(TrainingError, match="does not contain the inputs of a training"):
        Handoff.read(tmp_path / "nothing")


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("step", [0, 4, 7])
def test_each_step_is_run_by_one_worker_also_after_a_resume(size: int, step: int) -> None:
    """The update after a resume may be shorter than the group: its steps begin with the first worker again."""
    updates = Updates(steps_per_epoch=7, accumulate=4, max_steps=20)
    training = small_parameters(training={"batch_size": 2, "accumulate": 4}).training
    own = []
    for rank in range(size):
        windows: Any = range(15)
        unused: Any = None  # model and loss scaler: only the order is asked for
        gradients = Gradients(unused, windows, updates, unused, training, WorkerGroup(rank, size))
        own.append(list(gradients._own_order(step)))
    expected = []
    while step < 20:
        update = updates.after(step)
        expected += [(number % size, which) for number, which in enumerate(gradients.order(update))]
        step = update.last
    for rank, which in expected:
        np.testing.assert_array_equal(own[rank].pop(0), which)
    assert not any(own)


def test_a_group_of_one_is_a_process_that_trains_alone() -> None:
    """No communication, and every step is its own."""
    group = WorkerGroup.current()
    assert (group.rank, group.size, group.is_first) == (0, 1, True)
    assert group.gather(3) == [3] and group.from_first("x") == "x" and all(map(group.runs, range(5)))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"batch_size": 32, "accumulate": 1}, "training.batch_size=16,training.accumulate=2 has updates of as many"),
        ({"batch_size": 3, "accumulate": 1}, "workers.processes 2 is more than training.accumulate 1"),
    ],
)
def test_more_workers_than_steps_of_an_update_are_refused(training: dict[str, int], message: str) -> None:
    """With the setting that has updates of the same size."""
    with pytest.raises(ParameterError, match=message):
        parse_parameters({"training": training, "workers": {"processes": 2}})


def test_auto_is_one_worker_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """With GPUs, as many as can share an update."""
    parameters = parse_parameters({"training": {"accumulate": 4}, "workers": {"processes": "auto"}})
    for gpus, expected in ((0, 1), (1, 1), (3, 3), (8, 4)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert number_of_workers(parameters) == expected


def test_several_workers_are_refused_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.setattr(sys, "platform", "win32")
    parameters = parse_parameters({"training": {"accumulate": 4}, "workers": {"processes": 2}})
    with pytest.raises(TrainingError, match="not supported on Windows"):
        number_of_workers(parameters)
