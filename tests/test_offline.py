"""Nothing leaves the machine: no telemetry, no lookup, no server that others can reach."""

import os
import shutil
import subprocess
import sys
import tarfile
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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project without the file .telemetry, which alone would already refuse consent."""
    folder = tmp_path / "project"
    for name in ("src", "conf", "data/01_raw"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def guarded(tmp_path: Path, source: Path) -> tuple[dict[str, str], Path]:
    """An environment in which telemetry is not switched off and each attempt to connect is written to a file."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard/sitecustomize.py").write_text(GUARD, encoding="utf-8")
    log = tmp_path / "requests.txt"
    off = ("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY", "GITHUB_REPOSITORY_OWNER")
    surroundings = {name: value for name, value in os.environ.items() if name not in off}
    path = os.pathsep.join([str(tmp_path / "guard"), str(source)])
    return surroundings | {"PYTHONPATH": path, "GUARD_LOG": str(log), "HOME": str(tmp_path / "home")}, log


@pytest.mark.parametrize("command", ["run", "registry list"])
def test_the_kedro_command_sends_nothing_without_the_file_telemetry(
    project: Path, tmp_path: Path, command: str
) -> None:
    """kedro-telemetry calls its first hook before any setting of the project is read."""
    surroundings, log = guarded(tmp_path, project / "src")
    words = [*command.split(), "--pipeline", "data"] if command == "run" else command.split()
    kedro = [sys.executable, "-m", "kedro", *words]
    done = subprocess.run(kedro, cwd=project, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not log.exists(), log.read_text(encoding="utf-8")
    assert "kedro_telemetry" not in (project / "pyproject.toml").read_text(encoding="utf-8"), "no project id"


def test_a_packaged_project_elsewhere_sends_nothing(project: Path, tmp_path: Path) -> None:
    """There is no project folder and so no file .telemetry; `timellm` runs the same function."""
    surroundings, log = guarded(tmp_path, project / "src")
    with tarfile.open(tmp_path / "conf.tar.gz", "w:gz") as archive:
        archive.add(project / "conf", "conf")
    (tmp_path / "elsewhere").mkdir()
    params = f"raw_csv={(project / 'data/01_raw/synthetic_hourly.csv').as_posix()}"
    words = ["--pipeline", "data", "--conf-source", str(tmp_path / "conf.tar.gz"), "--params", params]
    command = [sys.executable, "-m", "timellm_pipeline", *words]
    where = tmp_path / "elsewhere"
    done = subprocess.run(command, cwd=where, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (where / "data/05_model_input/run_plan.json").is_dir()
    assert not log.exists(), log.read_text(encoding="utf-8")


def test_the_page_of_the_viewer_has_no_telemetry_script(project: Path, tmp_path: Path) -> None:
    """kedro-viz adds one that reports from the browser."""
    surroundings, log = guarded(tmp_path, project / "src")
    kedro = [sys.executable, "-m", "kedro", "viz", "build"]
    done = subprocess.run(kedro, cwd=project, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "heap" not in (project / "build/index.html").read_text(encoding="utf-8")
    assert not log.exists(), log.read_text(encoding="utf-8")


def test_the_viewer_listens_on_the_loopback_alone() -> None:
    """It shows data to whoever can reach it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    served = [line for line in makefile.splitlines() if "kedro viz run" in line or "dagster dev" in line]
    assert served and all("--host 127.0.0.1" in line for line in served)
