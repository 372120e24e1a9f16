"""Nothing leaves the machine: no telemetry, no lookup, no server that others can reach."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

GUARD = """
import os, socket
def refuse(kind):
    def refused(self, address, *rest):
        if self.family == getattr(socket, "AF_UNIX", None):
            return real[kind](self, address, *rest)
        with open(os.environ["GUARD_LOG"], "a") as log:
            log.write(f"{kind} {address}\\n")
        raise OSError("the network is switched off")
    return refused
real = {"connect": socket.socket.connect, "connect_ex": socket.socket.connect_ex}
for kind in real:
    setattr(socket.socket, kind, refuse(kind))
def lookup(host, *rest, **more):
    with open(os.environ["GUARD_LOG"], "a") as log:
        log.write(f"lookup {host}\\n")
    raise OSError("the network is switched off")
socket.getaddrinfo = lookup
"""
SMALL = "backbone.name=none,training.max_steps=4,training.batch_size=8,evaluation.test_step=400"


@pytest.mark.long
def test_no_request_leaves_during_a_whole_run(tmp_path: Path) -> None:
    """Kedro plugins, transformers and plotting libraries have all been known to phone home."""
    (tmp_path / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    log = tmp_path / "requests.txt"
    surroundings = {name: value for name, value in os.environ.items() if name not in ("DO_NOT_TRACK", "HF_HUB_OFFLINE")}
    surroundings |= {"PYTHONPATH": str(tmp_path), "GUARD_LOG": str(log)}
    params = f"data_root={(tmp_path / 'data').as_posix()},{SMALL},evaluation.validation_step=400"
    command = [sys.executable, "-m", "kedro", "run", "--pipeline", "train", "--params", params]
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not log.exists(), log.read_text(encoding="utf-8")
    probe = "import socket; socket.create_connection(('192.0.2.1', 9))"
    subprocess.run([sys.executable, "-c", probe], env=surroundings, capture_output=True, check=False)
    assert log.exists(), "the guard itself works"


def test_the_viewer_listens_on_the_loopback_alone() -> None:
    """It shows data to whoever can reach it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    served = [line for line in makefile.splitlines() if "kedro viz run" in line or "dagster dev" in line]
    assert served and all("--host 127.0.0.1" in line for line in served)
