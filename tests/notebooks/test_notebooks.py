"""The notebooks run, cell by cell, as they are shipped."""

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from conftest import ROOT, make_inputs, small_parameters
from synthetic import synthetic_series
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model

NOTEBOOKS = ROOT / "notebooks"


def execute(name: str) -> nbformat.NotebookNode:
    """Run a notebook in a kernel of its own, as from its folder."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    return notebook


def test_the_forecast_notebook_runs_on_a_trained_model(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook that nobody runs is wrong after the next change."""
    parameters = small_parameters(backbones["gpt2"], training={"max_steps": 4})
    data = make_inputs(raw_series, parameters)
    store = CheckpointStore(tmp_path / "s")
    train_model(data, parameters, BackboneSource(tmp_path / "c"), store, "v").model.write(tmp_path / "model")
    raw_series.to_csv(tmp_path / "series.csv", index=False)
    monkeypatch.setenv("TIMELLM_MODEL", str(tmp_path / "model"))
    monkeypatch.setenv("TIMELLM_CSV", str(tmp_path / "series.csv"))
    notebook = execute("forecast.ipynb")
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [str(output.get("data", output.get("text", ""))) for output in outputs]
    assert any("48 points in, 12 out" in text for text in shown)
    assert any("lower_80" in text for text in shown)
    assert any("6 origins" in text for text in shown), "the backtest"
    assert any("application/vnd.plotly.v1+json" in text for text in shown), "the picture"


@pytest.mark.long
def test_the_hosted_notebook_is_interrupted_and_resumes(
    backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a hosted GPU, with a folder for the drive, a tiny backbone for Llama 3 and a synthetic series for ETTh1."""
    series = synthetic_series(num_rows=17_420)
    series.to_csv(tmp_path / "series.csv", index=False)
    (tmp_path / "drive").mkdir()
    small = {
        "raw_csv": tmp_path / "series.csv",
        "backbone.name": backbones["llama"],
        "backbone.layers": 2,
        "model.d_ff": 16,
        "model.num_prototypes": 50,
        "window.window_step": 16,
        "prompt.significant_digits": 2,
        "training.max_steps": 800,
        "training.save_steps": 20,
        "training.validate_steps": 400,
        "training.log_steps": 10,
        "training.num_workers": 0,
        "evaluation.validation_step": 96,
        "evaluation.test_step": 96,
        "evaluation.batch_size": 64,
    }
    monkeypatch.setenv("TIMELLM_DRIVE", str(tmp_path / "drive"))
    monkeypatch.setenv("TIMELLM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TIMELLM_REHEARSAL", ",".join(f"{name}={value}" for name, value in small.items()))
    notebook = execute("hosted_llama3.ipynb")
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "\n".join(str(output.get("data", output.get("text", ""))) for output in outputs)
    assert "killed, status -9" in text
    resumed = re.search(r"resuming from step (\d+)", text)
    assert resumed and int(resumed[1]) >= 20 and int(resumed[1]) % 20 == 0
    assert "One step is one iteration" in text and "24 layers" in text
    assert text.count("application/vnd.plotly.v1+json") >= 2, "the monitored training, and the forecast"
    runs = list((tmp_path / "drive/timellm_checkpoints").glob("*/finished.json"))
    assert len(runs) == 1, "one training, interrupted and resumed"


def test_notebooks_are_kept_without_outputs() -> None:
    """Outputs hold data of whoever ran it last, and make every diff unreadable."""
    for path in NOTEBOOKS.glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert not cell.outputs and cell.execution_count is None, path.name
