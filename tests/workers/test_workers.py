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
from filelock import FileLock

from conftest import ROOT, make_inputs, small_parameters
from timellm_pipeline.errors import BackboneError, ParameterError, TrainingError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import WorkersParams, parse_parameters
from timellm_pipeline.parameters.workers import refuse_idle_workers
from timellm_pipeline.training import launch
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.gradients import Gradients
from timellm_pipeline.training.handoff import Handoff
from timellm_pipeline.training.launch import train, write_inputs
from timellm_pipeline.training.preparation import prepare_training
from timellm_pipeline.training.result import TrainingResult, read_finished
from timellm_pipeline.training.updates import Updates
from timellm_pipeline.workers import elastic
from timellm_pipeline.workers.elastic import number_of_workers
from timellm_pipeline.workers.folder import WorkFolder
from timellm_pipeline.workers.group import WorkerGroup
from timellm_pipeline.workers.signals import StopSignals

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
    llama, groups = backbones["llama"], {"model": {"linear": linear}}
    results = [trained(raw_series, llama, tmp_path / str(count), count, **groups) for count in (1, 2, 3)]
    if linear == "plain":
        groups["workers"] = {"processes": 2, "shard": "layers", "restarts": 0}
        results.append(trained(raw_series, llama, tmp_path / "shared", 2, **groups))
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
    workers = {"processes": 2, "restarts": 1, "timeout": 30}
    trained(raw, Path(sys.argv[3]), Path(sys.argv[4]), 2, training=steps, workers=workers)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the workers are found in /proc")
@pytest.mark.parametrize("killed", ["worker", "worker that hangs", "parent"])
def test_what_is_killed_is_resumed_with_the_same_bytes(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path, killed: str
) -> None:
    """A worker is started again, also one that answers no more; without the parent, the workers save and leave."""
    csv = tmp_path / "series.csv"
    raw_series.to_csv(csv, index=False)
    arguments = [str(ROOT), str(csv), str(backbones["llama"]), str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/workers"), str(ROOT / "src")])}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], env=environment)
    workers = wait_for_workers(tmp_path / "killed", process)
    number = signal.SIGSTOP if killed == "worker that hangs" else signal.SIGKILL
    os.kill(process.pid if killed == "parent" else workers[0], number)
    assert process.wait(300) == (-signal.SIGKILL if killed == "parent" else 0)
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
    folder = WorkFolder(tmp_path / "work")
    Handoff(folder, data, parameters, source, store, "v", None, training.linear, "earlier").write()
    read = Handoff.read(folder)
    assert read.discarded == "earlier"
    again = prepare_training(read.data, read.parameters, read.source, read.store, linear=read.linear)
    assert again.facts == training.facts and again.linear.digest() == training.linear.digest()
    assert read.version == "v" and read.start is None
    with pytest.raises(TrainingError, match="does not contain the inputs of worker processes"):
        Handoff.read(WorkFolder(tmp_path / "nothing"))


def test_workers_that_start_again_do_not_discard_their_own_result(raw_series: pd.DataFrame, tmp_path: Path) -> None:
    """`training.force` discards the training that had finished before, once."""
    steps = {"accumulate": 1, "max_steps": 4, "save_steps": 4, "validate_steps": 4, "log_steps": 2}
    parameters = small_parameters("none", training={**steps, "force": True})
    data, source, store = make_inputs(raw_series, parameters), BackboneSource(tmp_path / "c"), CheckpointStore(tmp_path)
    training = prepare_training(data, parameters, source, store)

    def run(version: str, discarded: str | None) -> str:
        linear = training.linear
        Handoff(WorkFolder(tmp_path), data, parameters, source, store, version, None, linear, discarded).run()
        finished = read_finished(training.run.folder)
        assert finished is not None
        return finished.trained_in

    assert run("first", None) == "first"
    assert run("second", None) == "first"
    assert run("second", "first") == "second"
    assert run("second", "first") == "second"
    with pytest.raises(ParameterError, match="cannot discard a finished training"):
        write_inputs(training, store, "third")


def test_inputs_of_dead_processes_are_removed_and_those_of_others_are_not(tmp_path: Path) -> None:
    """The process may run on another machine: its lock says whether it lives."""
    run_folder, dead, alive = (tmp_path / name for name in ("id", ".work-id-1", ".work-id-2"))
    for folder in (dead, alive):
        folder.mkdir()
    with FileLock(alive / launch.LOCK):
        launch._remove_old(run_folder)
        assert alive.is_dir() and not dead.exists()


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The first error counts; a new start clears the reports of the earlier one."""
    folder = WorkFolder(tmp_path)
    assert folder.error() is None and folder.stop() is None
    folder.report_error(TrainingError("a", where="b", do="c"))
    folder.report_error(TrainingError("later", where="b", do="c"))
    assert isinstance(folder.error(), TrainingError) and str(folder.error()) == "a\n  where: b\n  do:    c"
    folder.report_stop(15, "stopped")
    assert folder.stop() == (15, "stopped")
    folder.clear()
    assert folder.error() is None and folder.stop() is None


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
    while step < 20:
        update = updates.after(step)
        order = list(gradients.order(update))
        for first in range(0, len(order), size):
            share = order[first : first + size]
            for rank in range(size):  # a worker without a step repeats one of the others
                np.testing.assert_array_equal(own[rank].pop(0), share[rank % len(share)])
        step = update.last
    assert not any(own)


def test_a_process_that_joined_no_group_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also inside a process group of another program: a forecast on its first rank would wait for the others."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    group = WorkerGroup.current()
    assert (group.rank, group.size, group.is_first, group.is_orphan) == (0, 1, True, False)
    assert group.gather(3) == [3] and group.from_first("x") == "x"


def test_a_worker_whose_parent_ended_before_it_started_is_an_orphan() -> None:
    """Loading a large backbone takes minutes, and kedro may be killed meanwhile."""
    assert WorkerGroup(0, 1, parent=os.getpid()).is_orphan and not WorkerGroup(0, 1, parent=os.getppid()).is_orphan
    with StopSignals() as signals:
        signals.agree(WorkerGroup(0, 1, parent=os.getpid()))
        assert signals.received == signal.SIGTERM


def test_a_signal_that_is_ignored_is_not_handled_by_the_agent() -> None:
    """A run under nohup continues when the terminal closes."""
    wanted = {signal.SIGHUP: signal.SIG_IGN, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        handled = elastic._for_workers()["TORCHELASTIC_SIGNALS_TO_HANDLE"].split(",")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "SIGHUP" not in handled and {"SIGTERM", "SIGINT"} <= set(handled)


def test_shared_layers_need_several_workers() -> None:
    """`auto` may find one GPU, or an update may have one step: the backbone would be loaded whole without a word."""
    with pytest.raises(TrainingError, match="workers.shard=layers needs several workers, and there is one"):
        number_of_workers(WorkersParams(processes="auto", shard="layers"), 1)
    with pytest.raises(ParameterError, match="workers.processes"):
        parse_parameters({"workers": {"processes": 0}})


@pytest.mark.parametrize(
    ("training", "do"),
    [
        ({"batch_size": 32, "accumulate": 1}, "training.batch_size=16,training.accumulate=2 has updates of as many"),
        ({"batch_size": 3, "accumulate": 1}, "use fewer workers, or raise training.accumulate"),
    ],
)
def test_more_workers_than_steps_of_an_update_are_refused(training: dict[str, int], do: str) -> None:
    """With the setting that has updates of the same size."""
    with pytest.raises(ParameterError, match="2 workers are more than training.accumulate 1") as caught:
        refuse_idle_workers(2, parse_parameters({"training": training}).training)
    assert do in caught.value.do


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"workers": {"processes": 1}}, "needs several workers"),
        ({"backbone": {"quantization": "nf4"}}, "gives wrong weights without an error"),
        ({"backbone": {"name": "none"}}, "needs a language model"),
        ({"backbone": {"weights": "random"}}, "draws whole layers"),
        ({"training": {"compile": True}}, "does not support shared layers"),
    ],
)
def test_settings_that_do_not_work_with_shared_layers_are_refused(groups: dict[str, Any], message: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(ParameterError, match=message):
        parse_parameters({**groups, "workers": {"processes": 2, "shard": "layers", **groups.get("workers", {})}})


def test_auto_is_one_worker_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """With GPUs, as few as run an update of four steps in the fewest rounds."""
    parameters = parse_parameters({"training": {"accumulate": 4}, "workers": {"processes": "auto"}})
    for gpus, expected in ((0, 1), (1, 1), (2, 2), (3, 2), (8, 4)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert number_of_workers(parameters.workers, 4) == expected


def test_more_workers_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers cannot share a GPU; on a CPU any number is allowed."""
    workers = parse_parameters({"training": {"accumulate": 4}, "workers": {"processes": 3}}).workers
    assert number_of_workers(workers) == 3
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainingError, match="3 workers need as many GPUs; this machine has 2"):
        number_of_workers(workers)


def test_several_workers_are_refused_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.setattr(sys, "platform", "win32")
    parameters = parse_parameters({"training": {"accumulate": 4}, "workers": {"processes": 2}})
    with pytest.raises(TrainingError, match="not supported on Windows"):
        number_of_workers(parameters.workers)
