"""User errors end in three lines and status 1; a bug in our code keeps its traceback, in every layer."""

import errno
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import timellm_pipeline
from conftest import ROOT
from timellm_pipeline.diagnosis import diagnose, diagnosed
from timellm_pipeline.errors import EnvironmentalError, SeriesError, UserError, escape

SMALL = (
    "backbone.name=none,window.seq_len=48,window.pred_len=12,window.window_step=50,training.max_steps=2,"
    "training.batch_size=8,evaluation.validation_step=50,evaluation.test_step=50"
)
# One function of each layer that a training runs through.
LAYERS = [
    "parameters.root:contradictions",
    "series.validation:validate_series",
    "series.prepare:fit",
    "series.windows:build_window_index",
    "model.patches:cut_into_patches",
    "model.saved:find_damage",
    "evaluation.calibration:calibrate",
    "evaluation.report:run_test",
    "training.preparation:training_facts",
    "training.gradients:batch_order",
    "retraining.registry:_resolve_champion",
    "datasets.files:_to_json",
    "datasets.handles:_git",
    "pipelines.train.nodes:gather_settings",
    "versions:newer_than",
    "files:sync_folder",
    "hooks:find_overrides",
]


def kedro_run(*arguments: str) -> Any:
    """`kedro run` in this process."""
    bootstrap_project(ROOT)
    from timellm_pipeline.cli import cli

    return CliRunner().invoke(cli, ["run", *arguments])


@pytest.fixture
def csv(raw_series: pd.DataFrame, tmp_path: Path) -> Path:
    raw_series.to_csv(tmp_path / "series.csv", index=False)
    return tmp_path / "series.csv"


@pytest.mark.parametrize("kind", [TypeError, KeyError, ValueError, AttributeError, AssertionError, RuntimeError])
def test_a_bug_is_no_user_error(kind: type[Exception]) -> None:
    """Shown as three lines, a bug would never be reported or found."""
    with pytest.raises(kind), diagnosed():
        raise kind("a bug")


@pytest.mark.parametrize("place", LAYERS)
def test_a_bug_in_any_layer_shows_its_traceback(
    place: str, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error handling must not hide bugs."""
    module_name, name = place.split(":")
    root = tmp_path / "data"
    train = ["--params", f"data_root={root},raw_csv={csv},{SMALL}"]
    if place.startswith(("versions", "retraining")):  # only a second run gets there
        assert kedro_run(*train).exit_code == 0
    plant(monkeypatch, getattr(importlib.import_module(f"timellm_pipeline.{module_name}"), name), place)
    forecast = ["--pipeline", "forecast", "--params", f"data_root={root},raw_csv={csv}"]
    done = kedro_run(*(forecast if place.startswith("retraining") else train))
    found = done.exception
    while found is not None and found.__cause__ is not None:  # Kedro wraps what a data set raises
        found = found.__cause__
    assert isinstance(found, TypeError) and str(found) == f"a bug in {place}", done.output[-2000:]
    assert "  do:    " not in done.output


def plant(monkeypatch: pytest.MonkeyPatch, function: Any, place: str) -> None:
    """Give a function a bug, wherever it has been imported to. The traceback names the function's own file."""
    code = f"def buggy(*args, **kwargs): raise TypeError({f'a bug in {place}'!r})"
    namespace: dict[str, Any] = {}
    exec(compile(code, inspect.getsourcefile(inspect.unwrap(function)), "exec"), namespace)
    buggy = namespace["buggy"]
    for module in pkgutil.walk_packages(timellm_pipeline.__path__, "timellm_pipeline."):
        if "dagster" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)  # first: imported later, it would keep the bug
    for key, module in list(sys.modules.items()):
        if key.startswith("timellm_pipeline"):
            for name, value in list(vars(module).items()):
                if value is function:
                    monkeypatch.setattr(module, name, buggy)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EROFS, "writable folder"),
        (errno.ENOTDIR, "blocks this path"),
        (errno.EIO, "drive"),
    ],
)
def test_a_disk_error_is_reported_with_its_path(code: int, advice: str) -> None:
    """Also inside a data set, where Kedro wraps it."""
    try:
        try:
            raise OSError(code, os.strerror(code), "/some/where")
        except OSError as error:
            raise DatasetError("Failed while saving data to dataset X") from error
    except DatasetError as error:
        known = diagnose(error)
    assert known is not None and known.what == os.strerror(code)
    assert known.where == "/some/where" and advice in known.do


def test_a_bug_inside_a_data_set_stays_one() -> None:
    """Kedro wraps it too."""
    try:
        try:
            raise TypeError("a bug")
        except TypeError as error:
            raise DatasetError("Failed while saving data to dataset X") from error
    except DatasetError as error:
        assert diagnose(error) is None


def test_a_bug_while_an_error_is_handled_is_not_hidden_by_it() -> None:
    """The error before it is only its context."""
    with pytest.raises(AttributeError):
        try:
            raise SeriesError("known", where="here", do="this")
        except SeriesError as error:
            try:
                error.nothing  # noqa: B018 - an attribute that does not exist is the bug of this test
            except AttributeError as bug:
                assert diagnose(bug) is None
                raise


@pytest.mark.parametrize(
    "cause",
    [
        lambda: yaml.safe_load("@x"),
        lambda: OmegaConf.create({"a": "${nope}"}).a,
        lambda: (_ for _ in ()).throw(MemoryError("Unable to allocate 8 GiB")),
    ],
    ids=["yaml", "omegaconf", "memory"],
)
def test_configuration_and_memory_errors_are_user_errors(cause: Callable[[], Any]) -> None:
    """By their class, wherever they are raised."""
    with pytest.raises(EnvironmentalError) as caught, diagnosed():
        cause()
    assert isinstance(caught.value.__cause__, yaml.YAMLError | OmegaConfBaseException | MemoryError)


@pytest.mark.parametrize(
    "words",
    [
        ["--env", "nosuch"],
        ["--pipeline", "nope"],
        ["--nodes", "nope"],
        ["--tags", "nope"],
        ["--runner", "nope"],
        ["--params", "window.target=@x"],
        ["--params", "data_root="],
        ["--params", "raw_csv=${nope}"],
        ["--params", "data_root=/dev/null/x"],
        ["--pipeline", "forecast", "--load-versions", "timellm_model:WRONG"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_three_lines(words: list[str], tmp_path: Path) -> None:
    """About a hundred of them were tracebacks."""
    given = words if "--params" in words else [*words, "--params", f"data_root={tmp_path}"]
    done = kedro_run(*given)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    lines = done.stderr.strip().splitlines()[-3:]
    assert lines[0].startswith("Error: ") and lines[1].startswith("  where: ") and lines[2].startswith("  do:    ")
    assert not Path("None").exists()


def test_usage_errors_stay_clicks_own() -> None:
    """click prints the usage, and status 2 by custom."""
    done = kedro_run("--no-such-option")
    assert done.exit_code == 2 and "Usage:" in done.output
    with pytest.raises(click.UsageError):
        raise click.UsageError("x")


def test_names_cannot_add_a_line_or_reach_the_terminal() -> None:
    """A channel's name may hold anything."""
    error = UserError("the channel `a\nError: all is well\x1b[2J\u202e`", where="x\r\ny", do="z\x85z")
    assert len(str(error).splitlines()) == 3 and "\x1b" not in str(error) and "\u202e" not in str(error)
    assert escape("高负荷 été\u3000😀 ‌") == "高负荷 été\u3000😀 ‌" and escape("a\tb\\") == "a\\tb\\"
