"""Workers of several machines: torchrun starts them, and the bytes are those of one process."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_workers import digest, is_alive, trained, wait_for_workers

from conftest import ROOT, make_inputs, small_parameters
from timellm_pipeline.errors import TrainingError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.launch import write_inputs
from timellm_pipeline.training.preparation import prepare_training
from timellm_pipeline.work import refuse_separate_drives
from timellm_pipeline.workers.folder import WorkFolder
from timellm_pipeline.workers.group import WorkerGroup

STEPS = {"accumulate": 3, "max_steps": 300, "max_epochs": 100, "save_steps": 6, "validate_steps": 300}


def agent(folder: Path, port: int, threads: str, *, nodes: str, host: bool) -> "subprocess.Popen[bytes]":
    """A torchrun of one machine with one worker."""
    words = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", "--nproc-per-node=1"]
    words += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test", "--max-restarts=3"]
    words += [f"--rdzv-conf=is_host={int(host)},last_call_timeout=2", "--monitor-interval=0.5"]
    words += ["-m", "timellm_pipeline", "work", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": threads}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    return subprocess.Popen(words, env=environment)


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the workers are found in /proc")
def test_the_other_machine_finishes_when_one_is_killed(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """Two agents with `--nnodes 1:2`; `kedro run` with the same parameters then finds the finished training."""
    import torch

    groups: dict[str, Any] = {"training": STEPS}
    parameters = small_parameters(backbones["llama"], **groups, workers={"processes": 1, "restarts": 1})
    data = make_inputs(raw_series, parameters)
    store = CheckpointStore(tmp_path / "killed" / "steps")
    training = prepare_training(data, parameters, BackboneSource(tmp_path / "killed" / "cache"), store)
    folder, port, threads = write_inputs(training, store, "v"), free_port(), str(torch.get_num_threads())
    agents = [agent(folder, port, threads, nodes="1:2", host=number == 0) for number in range(2)]
    try:
        workers = wait_for_workers(tmp_path / "killed", agents[0])
        assert len(workers) >= 2
        agents[1].send_signal(signal.SIGKILL)
        assert agents[0].wait(300) == 0
    finally:
        for one in agents:
            one.kill()
    assert not any(map(is_alive, workers)), "the worker of the killed agent has left"
    found = trained(raw_series, backbones["llama"], tmp_path / "killed", 1, **groups)
    assert not found.record.trained or found.record.steps_run == 0
    assert digest(found) == digest(trained(raw_series, backbones["llama"], tmp_path / "whole", 1, **groups))
    assert len(found.record.resume_chain) == 1


@pytest.mark.parametrize(
    ("has_job", "message"),
    [
        (False, "this folder does not contain the inputs of worker processes"),
        (True, "this process was not started by torchrun: RANK is not set"),
    ],
)
def test_a_worker_that_cannot_start_says_why(tmp_path: Path, has_job: bool, message: str) -> None:
    """In three lines, with status 1."""
    if has_job:
        WorkFolder(tmp_path).write_job("train", 30, {})
    environment = {name: value for name, value in os.environ.items() if name != "RANK"}
    words = [sys.executable, "-m", "timellm_pipeline", "work", str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"Error: {message}" in done.stderr and "\n  do:    " in done.stderr


class OtherDrive(WorkerGroup):
    """A group of two whose second worker sees other files."""

    def gather(self, value: Any) -> list[Any]:
        return [value, False]

    def from_first(self, value: Any) -> Any:
        return value


def test_machines_without_a_common_drive_are_refused(tmp_path: Path) -> None:
    """Otherwise the second machine would not find the checkpoint to resume from, minutes or hours later."""
    with pytest.raises(TrainingError, match="workers 1 do not see the files that worker 0 writes"):
        refuse_separate_drives(tmp_path, OtherDrive(0, 2))
    assert not list(tmp_path.iterdir())
    refuse_separate_drives(tmp_path, WorkerGroup())
