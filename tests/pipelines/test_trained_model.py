"""A trained model meets other files and other settings: what it accepts, what it reports and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from conftest import ROOT
from timellm_pipeline.errors import find_user_error
from timellm_pipeline.model.saved import SavedModel

SETTINGS: dict[str, Any] = {
    "window": {"seq_len": 48, "pred_len": 12, "window_step": 20, "patch_len": 8, "stride": 4},
    "model": {"num_prototypes": 8, "d_model": 8, "d_ff": 8, "num_heads": 2},
    "backbone": {"name": "none"},
    "training": {"batch_size": 8, "max_steps": 4, "validate_steps": 4},
    "evaluation": {"validation_step": 20, "test_step": 20},
}


def run(pipeline: str, root: Path, nodes: list[str] | None = None, **params: Any) -> None:
    """Run a pipeline, or some of its nodes, with these parameters alone."""
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, runtime_params={"data_root": str(root), **params}) as session:
        session.run(pipeline_names=[pipeline], node_names=nodes)


def error_of(pipeline: str, root: Path, nodes: list[str] | None = None, **params: Any) -> Any:
    """The error for the user that a run ends with."""
    with pytest.raises(Exception) as caught:
        run(pipeline, root, nodes, **params)
    found = find_user_error(caught.value)
    assert found is not None
    return found


def forecast_of(root: Path) -> pd.DataFrame:
    """The newest forecast."""
    return pd.read_parquet(sorted((root / "07_model_output/forecast.parquet").iterdir())[-1] / "forecast.parquet")


@pytest.fixture(scope="module")
def table(raw_series: pd.DataFrame) -> pd.DataFrame:
    """400 hours of three channels."""
    return raw_series[["date", "HUFL", "MUFL", "OT"]]


def train(table: pd.DataFrame, folder: Path) -> Path:
    """Train on a file `trained.csv` in that folder; returns the data root beside it."""
    table.to_csv(folder / "trained.csv", index=False)
    run("train", folder / "data", raw_csv=str(folder / "trained.csv"), **SETTINGS)
    return folder / "data"


@pytest.fixture(scope="module")
def trained(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training and its file. Only to be read."""
    return train(table, tmp_path_factory.mktemp("trained")).parent


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A copy of its data root that a test may write to."""
    return Path(shutil.copytree(trained / "data", tmp_path / "data", symlinks=True))


def test_a_forecast_reads_the_training_file_unless_another_is_named(table: pd.DataFrame, tmp_path: Path) -> None:
    """Without `raw_csv` the example's file was forecast, with status 0."""
    root = train(table, tmp_path)
    run("forecast", root)
    assert forecast_of(root)["window_end"].iloc[0] == pd.Timestamp(table["date"].iloc[-1])
    table.iloc[:300].to_csv(tmp_path / "other.csv", index=False)
    run("forecast", root, raw_csv=str(tmp_path / "other.csv"))
    assert forecast_of(root)["window_end"].iloc[0] == pd.Timestamp(table["date"].iloc[299])
    (tmp_path / "trained.csv").unlink()
    error = error_of("forecast", root)
    assert "no longer exists" in error.what and error.where.endswith("trained.csv") and "raw_csv=PATH" in error.do


def test_a_newer_file_may_have_gaps_that_the_training_file_had_not(
    root: Path, table: pd.DataFrame, tmp_path: Path
) -> None:
    """`data.gaps=interpolate` was advised, and then refused as contradicting the model."""
    newer = tmp_path / "newer.csv"
    table.drop(index=[380, 381]).to_csv(newer, index=False)
    assert "data.gaps" in error_of("forecast", root, raw_csv=str(newer)).do
    run("forecast", root, raw_csv=str(newer), data={"gaps": "interpolate"})
    assert forecast_of(root)["window_filled"].all()


def test_a_new_file_is_read_as_the_training_file_was_where_nothing_else_is_set(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    """The name of the date column and the separator would have to be repeated with each forecast."""
    csv, root = tmp_path / "a.csv", tmp_path / "data"
    table.rename(columns={"date": "stamp"}).to_csv(csv, index=False, sep="|")
    run("train", root, raw_csv=str(csv), data={"date_column": "stamp", "csv": {"sep": "|"}}, **SETTINGS)
    run("forecast", root)
    assert len(forecast_of(root)) == 3 * 12
    table.to_csv(csv, index=False)
    run("forecast", root, data={"date_column": "date", "csv": {"sep": ","}})
    assert len(forecast_of(root)) == 3 * 12


def test_surplus_columns_are_ignored_and_reported(
    root: Path, table: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A new column of remarks stopped every forecast."""
    table.assign(note="text").to_csv(tmp_path / "new.csv", index=False)
    run("forecast", root, raw_csv=str(tmp_path / "new.csv"))
    assert list(forecast_of(root)["channel"].unique()) == ["HUFL", "MUFL", "OT"]
    assert "ignoring columns that are not needed: `note`" in caplog.text


def test_missing_channels_are_named_without_advice_about_the_target(
    root: Path, table: pd.DataFrame, tmp_path: Path
) -> None:
    """`set window.target` would train another model."""
    table.drop(columns=["OT", "MUFL"]).to_csv(tmp_path / "new.csv", index=False)
    for pipeline in ("forecast", "evaluate"):
        error = error_of(pipeline, root, raw_csv=str(tmp_path / "new.csv"))
        assert "channels `MUFL`, `OT` are not in the file" in error.what and "window.target" not in error.do


def test_the_target_alone_needs_no_other_column(table: pd.DataFrame, tmp_path: Path) -> None:
    """Under `S` a text column stopped validation, and a gap in an unused column removed windows."""
    spoiled = table.assign(note="text")
    spoiled.loc[100:150, "HUFL"] = np.nan
    spoiled.to_csv(tmp_path / "a.csv", index=False)
    params = {**SETTINGS, "window": {**SETTINGS["window"], "features": "S"}, "data": {"gaps": "drop_windows"}}
    run("data", tmp_path / "data", raw_csv=str(tmp_path / "a.csv"), **params)
    (path,) = (tmp_path / "data/05_model_input/run_plan.json").glob("*/run_plan.json")
    plan = json.loads(path.read_text(encoding="utf-8"))
    assert plan["num_channels"] == 1 and plan["train_windows"] == plan["windows_per_channel"]


def test_ms_forecasts_from_the_target_alone(table: pd.DataFrame, tmp_path: Path) -> None:
    """It asked for every channel of training, and read none of them but one."""
    table.to_csv(tmp_path / "a.csv", index=False)
    table[["date", "OT"]].to_csv(tmp_path / "target.csv", index=False)
    window = {**SETTINGS["window"], "features": "MS"}
    run("train", tmp_path / "data", raw_csv=str(tmp_path / "a.csv"), **{**SETTINGS, "window": window})
    run("forecast", tmp_path / "data", raw_csv=str(tmp_path / "target.csv"))
    assert list(forecast_of(tmp_path / "data")["channel"].unique()) == ["OT"]


def test_evaluate_alone_refuses_windows_of_other_parameters(root: Path, trained: Path) -> None:
    """It scored rows that the model was trained on, with status 0."""
    other = {**SETTINGS, "window": {**SETTINGS["window"], "seq_len": 40}, "split": {"train_ratio": 0.3}}
    run("data", root, raw_csv=str(trained / "trained.csv"), **other)
    error = error_of("evaluate", root, ["evaluate.evaluate"])
    assert "seq_len: 40 in the window index, 48 in the model" in error.what and "split.train_ratio: 0.3" in error.what
    assert "kedro run --pipeline evaluate" in error.do
    run("evaluate", root, evaluation=SETTINGS["evaluation"])


def test_forecasts_are_written_with_the_offset_of_the_file(table: pd.DataFrame, tmp_path: Path) -> None:
    """They came back in UTC, two hours away from the rows that they continue."""
    csv = tmp_path / "a.csv"
    table.assign(date=table["date"] + "+02:00").to_csv(csv, index=False)
    run("train", tmp_path / "data", raw_csv=str(csv), **SETTINGS)
    run("forecast", tmp_path / "data", forecast={"origins": 2})
    forecast = forecast_of(tmp_path / "data")
    last = pd.Timestamp(table["date"].iloc[-1] + "+02:00")
    assert forecast["window_end"].max() == last and str(forecast["timestamp"].iloc[0])[-6:] == "+02:00"
    assert forecast["timestamp"].max() == last + pd.Timedelta(hours=12)
    (text,) = (tmp_path / "data/07_model_output/forecast.csv").glob("*/forecast.csv")
    assert text.read_text(encoding="utf-8-sig").splitlines()[1].split(",")[3].endswith("+02:00")


def test_a_model_remembers_the_file_and_how_it_was_read(root: Path, trained: Path) -> None:
    """Nobody could find out later what a model was trained on."""
    (folder,) = (root / "06_models/timellm_model").glob("2*")
    trained_on = SavedModel.read(folder).config.trained_on
    assert trained_on.path == str(trained / "trained.csv") and len(str(trained_on.sha256)) == 64
    assert trained_on.data.date_column == "date"


def test_part_of_a_run_uses_stored_settings_and_refuses_others(root: Path, trained: Path) -> None:
    """`--nodes train.train` reads the settings of the last run: other parameters would be ignored without a word."""
    file = str(trained / "trained.csv")
    versions = root / "06_models/timellm_model"
    run("train", root, ["train.train"], raw_csv=file, **SETTINGS)
    run("train", root, ["train.train"], raw_csv=file)
    assert len(list(versions.glob("20*"))) == 3
    other = {**SETTINGS, "training": {**SETTINGS["training"], "max_steps": 3}}
    error = error_of("train", root, ["train.train"], raw_csv=file, **other)
    assert "training.max_steps is 3 here and 4 in the settings of the earlier run" in error.what
    assert "kedro run" in error.do and len(list(versions.glob("20*"))) == 3
