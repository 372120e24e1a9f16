"""Options of `kedro run` that people reach for: a packaged configuration, missing outputs alone, tags."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from logging import getLogger
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from conftest import ROOT
from timellm_pipeline.errors import ParameterError
from timellm_pipeline.pipeline_registry import register_pipelines
from timellm_pipeline.pipelines import tags

PIPELINES = register_pipelines()
SMALL: dict[str, Any] = {
    "window": {"seq_len": 48, "pred_len": 12, "window_step": 8, "patch_len": 8, "stride": 4},
    "model": {"num_prototypes": 20, "d_model": 8, "d_ff": 8, "num_heads": 2},
    "training": {"batch_size": 8, "max_steps": 4},
    "evaluation": {"validation_step": 12, "test_step": 12},
    "backbone": {"name": "none", "layers": None},
}


@pytest.fixture
def params(raw_series: pd.DataFrame, tmp_path: Path) -> dict[str, Any]:
    """Runtime parameters of a training of seconds."""
    raw_series.to_csv(tmp_path / "series.csv", index=False)
    return {**SMALL, "data_root": str(tmp_path / "data"), "raw_csv": str(tmp_path / "series.csv")}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """conf-timellm_pipeline.tar.gz as `kedro package` makes it: everything but files of conf/local."""
    path = tmp_path / "conf-timellm_pipeline.tar.gz"
    with tarfile.open(path, "w:gz") as made:
        made.add(ROOT / "conf", "conf", filter=lambda one: None if "local/" in one.name and ".yml" in one.name else one)
    return path


@pytest.fixture
def kedros_log_level() -> Iterator[None]:
    """Puts Kedro's own log level back."""
    logger = getLogger("kedro.runner")
    before = logger.level
    yield
    logger.setLevel(before)


def run(
    pipeline: str, params: dict[str, Any], conf: Path | None = None, env: str | None = None, **options: Any
) -> None:
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, conf_source=str(conf) if conf else None, env=env, runtime_params=params) as session:
        session.run(pipeline_names=[pipeline], **options)


def test_a_packaged_configuration_runs(params: dict[str, Any], archive: Path) -> None:
    """`kedro run --conf-source conf-timellm_pipeline.tar.gz` ended with "Not a directory"."""
    run("data", params, archive)
    assert list((Path(params["data_root"]) / "05_model_input/run_plan.json").glob("2*"))


def test_a_packaged_configuration_keeps_its_environments_and_the_check_against_the_model(
    params: dict[str, Any], archive: Path
) -> None:
    """What an environment says otherwise than base is found by reading base, which lies in the archive too."""
    run("train", params, archive)
    places = {name: params[name] for name in ("data_root", "raw_csv")}
    run("evaluate", places | {"evaluation": SMALL["evaluation"]}, archive)
    with pytest.raises(ParameterError, match=r"window\.seq_len is 512 here and 48 in the model"):
        run("evaluate", places, archive, env="published")


def test_only_missing_outputs_reports_what_it_skips(
    params: dict[str, Any], caplog: pytest.LogCaptureFixture, kedros_log_level: None
) -> None:
    """A run that did nothing, or half of its work, looked like a complete one."""
    caplog.set_level("INFO")
    run("data", params)
    assert "skipp" not in caplog.text.lower()
    (plan,) = (Path(params["data_root"]) / "05_model_input/run_plan.json").glob("2*")
    plan.rename(plan.with_name("kept"))
    run("data", params, only_missing_outputs=True)
    names = ", ".join(f"data.{name}" for name in ("fit", "index", "scale", "split", "validate"))
    assert f"Skipping 5 nodes with existing outputs: {names}" in caplog.text
    run("data", params, only_missing_outputs=True)
    assert "Skipping all 6 nodes" in caplog.text
    assert "even if data or parameters have changed" in caplog.text


def test_the_console_shows_what_is_skipped(tmp_path: Path) -> None:
    """conf/logging.yml hides what Kedro's runner reports."""
    command = [
        sys.executable,
        "-m",
        "kedro",
        "run",
        "--pipeline",
        "data",
        "--params",
        f"data_root={tmp_path.as_posix()}",
    ]
    first, second = (
        subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for more in ([], ["--only-missing-outputs"])
    )
    assert "Skipping" not in first and "Skipping all 6 nodes" in second


@pytest.mark.parametrize("name", PIPELINES)
def test_every_node_has_tags_that_are_documented(name: str) -> None:
    """`kedro run --tags` finds nothing for a tag that nobody set, and a node without one is never found."""
    known = {tags.DATA, tags.CPU, tags.GPU, tags.PLOTS}
    for node in PIPELINES[name].nodes:
        assert node.tags <= known and node.tags & {tags.CPU, tags.GPU}, node.name
        draws = any(output.endswith("_plot") for output in node.outputs)
        if tags.CPU in node.tags and draws:
            assert tags.PLOTS in node.tags, node.name
        if "backbone" in node.inputs:
            assert tags.GPU in node.tags, f"{node.name} loads the network"
    for tag in known:
        assert f"| `{tag}` |" in str(tags.__doc__)


@pytest.mark.parametrize("tag", [tags.DATA, tags.CPU, tags.GPU, tags.PLOTS])
@pytest.mark.parametrize("name", PIPELINES)
def test_nodes_of_one_tag_run_without_the_others(name: str, tag: str) -> None:
    """A value that only lives in memory does not exist in the next run: every input has a catalog entry on disk."""
    catalog = yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text(encoding="utf-8"))
    for inputs in (one for one in PIPELINES[name].only_nodes_with_tags(tag).inputs() if not one.startswith("params:")):
        assert catalog[inputs]["type"] != "MemoryDataset"


def test_data_gpu_and_plots_run_one_after_the_other(params: dict[str, Any]) -> None:
    """Data prepared on one machine, training on another, figures on a third."""
    root = Path(params["data_root"])
    run("train", params, tags=["data"])
    assert (root / "05_model_input/run_plan.json").is_dir() and not (root / "06_models/timellm_model").exists()
    run("train", params, tags=["gpu"])
    assert (root / "06_models/timellm_model").is_dir() and (root / "08_reporting/run_manifest.json").is_dir()
    assert not (root / "08_reporting/history_plot.json").exists()
    run("train", params, tags=["plots"])
    assert (root / "08_reporting/history_plot.json").is_dir()
