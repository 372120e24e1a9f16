"""Whole pipelines through Kedro itself, on a tiny backbone: what `kedro run` does."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError

from conftest import ROOT, small_parameters
from synthetic import synthetic_series
from timellm_pipeline.errors import ParameterError, RefusedError, UserError, find_user_error
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.training.handoff import Handoff
from timellm_pipeline.workers.folder import WorkFolder

SMALL = {
    "window": {"seq_len": 48, "pred_len": 12, "window_step": 4, "patch_len": 8, "stride": 4},
    "model": {"linear": "plain", "num_prototypes": 20, "d_model": 8, "d_ff": 8, "num_heads": 2},
    "training": {"batch_size": 8, "max_steps": 10, "save_steps": 4, "validate_steps": 5, "log_steps": 2},
    "evaluation": {"validation_step": 6, "test_step": 6, "batch_size": 16},
}


def run(pipeline: str, data_root: Path, csv: Path, backbone: Path | str, **groups: dict[str, Any]) -> str:
    """Run a pipeline; returns the version of its results."""
    bootstrap_project(ROOT)
    params: dict[str, Any] = {name: {**SMALL.get(name, {}), **groups.pop(name, {})} for name in SMALL}
    params |= groups
    params["backbone"] = {"name": str(backbone), "layers": None}
    params |= {"data_root": str(data_root), "raw_csv": str(csv)}
    with KedroSession.create(ROOT, runtime_params=params) as session:
        session.run(pipeline_names=[pipeline])
        return str(session.session_id)


def run_plainly(pipeline: str, data_root: Path, csv: Path, **params: Any) -> str:
    """Run a pipeline with these parameters alone."""
    bootstrap_project(ROOT)
    runtime = {"data_root": str(data_root), "raw_csv": str(csv), **params}
    with KedroSession.create(ROOT, runtime_params=runtime) as session:
        session.run(pipeline_names=[pipeline])
        return str(session.session_id)


@pytest.fixture(scope="module")
def csv(raw_series: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "series.csv"
    raw_series.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def trained(csv: Path, backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data root after `train`, and the version of its results."""
    root = tmp_path_factory.mktemp("data root 数据")
    return root, run("train", root, csv, backbones["llama"])


@pytest.fixture(scope="module")
def trained_without_backbone(csv: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data root after `train` without a language model, and the version of its results. Only to be copied."""
    root = tmp_path_factory.mktemp("without backbone") / "data"
    return root, run("train", root, csv, "none")


@pytest.fixture
def plain(trained_without_backbone: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """A copy of it that a test may damage."""
    root, version = trained_without_backbone
    return Path(shutil.copytree(root, tmp_path / "data", symlinks=True)), version


def load_json(root: Path, place: str, version: str) -> Any:
    path = root / place
    return json.loads((path / version / path.name).read_text(encoding="utf-8"))


def test_train_goes_from_csv_to_metrics_and_every_result_is_versioned(trained: tuple[Path, str]) -> None:
    """The main job."""
    root, version = trained
    metrics = load_json(root, "08_reporting/test_metrics.json", version)
    assert metrics["num_windows"] == 84 and metrics["test_step"] == 6
    assert set(metrics["models"]) == {"timellm", "linear_part", "correction", "naive", "seasonal_naive", "linear"}
    for of_model in metrics["models"].values():
        for unit in ("scaled", "original"):
            assert np.isfinite(of_model[unit]["mse"]) and len(of_model[unit]["per_horizon"]["mae"]) == 12
            assert len(of_model[unit]["per_channel"]) == 7
    manifest = load_json(root, "08_reporting/run_manifest.json", version)
    wanted = {"training_id", "content_id", "trained", "trained_in", "steps_run", "resumed_from", "best_step"}
    assert wanted | {"stop_reason"} <= set(manifest)
    assert manifest["trained"] is True and manifest["trained_in"] == version and manifest["raw_unchanged"] is True
    assert manifest["raw_path"].endswith(".csv") and "raw_csv" not in manifest["resolved"]
    files = {"model.safetensors", "scaler.json", "linear.safetensors", "intervals.safetensors"}
    assert {*files, "test_metrics", "training_history"} == set(manifest["outputs"])
    assert manifest["test"]["timellm"]["mse"] == metrics["models"]["timellm"]["scaled"]["mse"]
    model = SavedModel.read(root / "06_models/timellm_model" / version / "timellm_model")
    assert model.config.training_id == manifest["training_id"]
    assert (model.folder.parent / "run_manifest.json").is_file()
    files = ["config.json", "intervals.safetensors", "linear.safetensors", "model.safetensors", "scaler.json"]
    assert sorted(path.name for path in model.folder.iterdir()) == files
    store = root / "06_models/checkpoints" / manifest["training_id"]
    assert sorted(store.glob("step-*"))[-1].name == "step-000000010"
    for name in ("history_plot", "forecast_plot", "horizon_plot"):
        assert load_json(root, f"08_reporting/{name}.json", version)["data"]


def test_the_same_command_again_trains_nothing_and_gives_the_same_model(
    trained: tuple[Path, str], csv: Path, backbones: dict[str, Path]
) -> None:
    """Promise 5: a finished training is not trained again."""
    root, first = trained
    second = run("train", root, csv, backbones["llama"])
    manifest = load_json(root, "08_reporting/run_manifest.json", second)
    assert (manifest["trained"], manifest["trained_in"], manifest["steps_run"]) == (False, first, 0)
    assert manifest["outputs"] == load_json(root, "08_reporting/run_manifest.json", first)["outputs"]
    metrics = [load_json(root, "08_reporting/test_metrics.json", version) for version in (first, second)]
    assert metrics[0] == metrics[1]


def test_evaluate_takes_the_models_own_settings(trained: tuple[Path, str], csv: Path) -> None:
    """A model scored on windows of another length than it was trained on would be scored wrongly, or not at all."""
    root, first = trained
    version = run_plainly("evaluate", root, csv, evaluation=SMALL["evaluation"])
    metrics = [load_json(root, "08_reporting/test_metrics.json", which) for which in (first, version)]
    assert metrics[0] == metrics[1]


def test_evaluate_refuses_a_parameter_that_contradicts_the_model(trained: tuple[Path, str], csv: Path) -> None:
    """Metrics under the wrong name are worse than none."""
    root, _ = trained
    with pytest.raises(ParameterError, match=r"window\.seq_len is 96 here and 48 in the model"):
        run_plainly("evaluate", root, csv, window={"seq_len": 96})


@pytest.mark.parametrize("which", ["newest", "best"])
def test_publish_makes_a_model_of_a_checkpoint_without_training(
    trained: tuple[Path, str], csv: Path, backbones: dict[str, Path], which: str
) -> None:
    """Ten hours into a run people want to look at a forecast."""
    root, first = trained
    version = run("publish", root, csv, backbones["llama"], checkpoint=which)
    models = [SavedModel.read(root / "06_models/timellm_model" / each / "timellm_model") for each in (first, version)]
    assert models[1].config.best_step == (10 if which == "newest" else models[0].config.best_step)
    if models[0].config.best_step == models[1].config.best_step:
        assert models[0].sha256 == models[1].sha256
    metrics = run_plainly("evaluate", root, csv, evaluation=SMALL["evaluation"])
    assert load_json(root, "08_reporting/test_metrics.json", metrics)["num_windows"] == 84


def test_evaluate_without_a_model_says_how_to_get_one(tmp_path: Path, csv: Path) -> None:
    """Kedro's own message names a class and no command."""
    with pytest.raises(Exception, match="no complete version of timellm_model") as caught:
        run_plainly("evaluate", tmp_path, csv)
    assert "--pipeline train" in find_user_error(caught.value).do


def test_publish_says_when_there_is_no_checkpoint(tmp_path: Path, csv: Path) -> None:
    """An empty folder gives no hint which parameters were meant."""
    with pytest.raises(UserError, match="no checkpoint yet"):
        run("publish", tmp_path, csv, "none")


def test_the_target_alone_and_no_backbone(tmp_path: Path, csv: Path) -> None:
    """`features: S` and the ablation without a language model are one parameter each."""
    version = run("train", tmp_path, csv, "none", window={"features": "S"})
    metrics = load_json(tmp_path, "08_reporting/test_metrics.json", version)
    assert list(metrics["models"]["timellm"]["scaled"]["per_channel"]) == ["OT"]
    assert load_json(tmp_path, "05_model_input/run_plan.json", version)["num_channels"] == 1


def test_a_bad_parameter_stops_before_anything_is_written(tmp_path: Path, csv: Path) -> None:
    """Half a set of results is taken for a whole one."""
    with pytest.raises(ParameterError, match=r"did you mean `window\.seq_len`"):
        run_plainly("train", tmp_path / "root", csv, window={"seqlen": 48})
    assert not (tmp_path / "root").exists()


def test_a_bad_series_leaves_no_version(tmp_path: Path, csv: Path) -> None:
    """The next run would load what this one left."""
    broken = tmp_path / "broken.csv"
    broken.write_text(csv.read_text(encoding="utf-8").replace("2020-01-02 03:00:00", "yesterday"), encoding="utf-8")
    with pytest.raises(Exception, match="not a time stamp") as caught:
        run("train", tmp_path / "root", broken, "none")
    mistake = find_user_error(caught.value)
    assert mistake is not None and f"{broken}, line 29, column `date`" in mistake.where
    assert not list((tmp_path / "root").rglob("*.parquet"))


def test_under_a_launcher_it_refuses(tmp_path: Path, csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under torchrun every process would run the whole pipeline and race for the same files."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="launched by torchrun or accelerate"):
        run("train", tmp_path, csv, "none")


def test_forecast_writes_a_table_a_csv_and_a_picture_with_the_models_own_settings(
    trained: tuple[Path, str], csv: Path, tmp_path: Path
) -> None:
    """What everybody asked for: load a trained model, forecast what comes after the end of my CSV."""
    root, _ = trained
    newer = tmp_path / "newer 更新.csv"
    longer = synthetic_series(num_rows=450, seed=1)
    longer.to_csv(newer, index=False)
    version = run_plainly("forecast", root, newer)
    table = pd.read_parquet(root / "07_model_output/forecast.parquet" / version / "forecast.parquet")
    assert len(table) == 7 * 12 and (table["window_end"] == longer["date"].iloc[-1]).all()
    text = pd.read_csv(root / "07_model_output/forecast.csv" / version / "forecast.csv", encoding="utf-8-sig")
    assert text.columns.tolist() == table.columns.tolist() and len(text) == len(table)
    assert load_json(root, "08_reporting/future_plot.json", version)["data"]
    with pytest.raises(Exception, match="is not in the file"):
        longer.drop(columns="HULL").to_csv(newer, index=False)
        run_plainly("forecast", root, newer)


def test_explain_tells_the_numbers_of_the_parameters_given(csv: Path, tmp_path: Path) -> None:
    """Seconds, before any GPU is rented."""
    versions = [
        run_plainly("explain", tmp_path, csv, window={**SMALL["window"], "stride": stride}) for stride in (4, 8)
    ]
    pages = [
        (tmp_path / "08_reporting/plan_table.md" / version / "plan_table.md").read_text(encoding="utf-8")
        for version in versions
    ]
    assert "| patches_per_window | 12 |" in pages[0] and "| patches_per_window | 7 |" in pages[1]
    for name in ("borders_plot", "window_plot", "batch_plot", "epoch_plot"):
        assert load_json(tmp_path, f"08_reporting/{name}.json", versions[0])["data"] or name == "batch_plot"


def test_a_trained_model_is_scored_on_another_series(trained: tuple[Path, str], tmp_path: Path) -> None:
    """Zero-shot: that series' own scaler, channels and description."""
    root, _ = trained
    other = synthetic_series(num_rows=500, seed=9).rename(columns={"HUFL": "load"}).drop(columns="MULL")
    other.to_csv(tmp_path / "other.csv", index=False)
    version = run_plainly("evaluate", root, tmp_path / "other.csv", evaluation=SMALL["evaluation"])
    metrics = load_json(root, "08_reporting/test_metrics.json", version)
    assert set(metrics["models"]["timellm"]["scaled"]["per_channel"]) == set(other.columns) - {"date"}
    assert metrics["coverage"] == {}, "half-widths are of the channels of training"


def test_prototypes_are_described_by_words(trained: tuple[Path, str], csv: Path) -> None:
    """Where are the text prototypes, seven people asked."""
    root, _ = trained
    version = run_plainly("prototypes", root, csv, evaluation=SMALL["evaluation"])
    table = pd.read_parquet(root / "08_reporting/prototype_words.parquet" / version / "prototype_words.parquet")
    assert len(table) == 20 and table["attention"].sum() == pytest.approx(1, abs=1e-4)
    assert table["attention"].is_monotonic_decreasing and table["patch"].between(1, 12).all()
    assert load_json(root, "08_reporting/prototype_plot.json", version)["data"]


def test_a_published_checkpoint_becomes_a_model_that_evaluates_and_forecasts(
    csv: Path, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """People have trained for days with the published code."""
    from reference import PublishedTimeLLM
    from timellm_pipeline.model.backbone import BackboneSource
    from timellm_pipeline.model.compute import Compute

    parameters = small_parameters(backbones["gpt2"], **{name: SMALL[name] for name in ("window", "model")})
    loaded = BackboneSource(tmp_path).load(parameters.backbone, Compute())
    window, model = parameters.window, parameters.model
    published = PublishedTimeLLM(
        loaded.model,
        loaded.tokenizer,
        "words",
        seq_len=window.seq_len,
        pred_len=window.pred_len,
        patch_len=window.patch_len,
        stride=window.stride,
        d_model=model.d_model,
        d_ff=model.d_ff,
        num_heads=model.num_heads,
        num_prototypes=1000,
        dropout=0.1,
    )
    state = {f"module.{name}": weight for name, weight in published.state_dict().items()}
    torch.save({"module": state}, tmp_path / "checkpoint")
    vocabulary = {"linear": "none", "prototypes": "vocabulary", "num_prototypes": 1000}
    run(
        "import_upstream",
        tmp_path,
        csv,
        backbones["gpt2"],
        model=vocabulary,
        checkpoint=str(tmp_path / "checkpoint"),
    )
    metrics = run_plainly("evaluate", tmp_path, csv, evaluation=SMALL["evaluation"])
    assert load_json(tmp_path, "08_reporting/test_metrics.json", metrics)["num_windows"] == 84
    run_plainly("forecast", tmp_path, csv)
    del state["module.output_projection.linear.bias"]
    torch.save(state, tmp_path / "cut")
    with pytest.raises(Exception, match=r"missing output_projection\.linear\.bias"):
        run("import_upstream", tmp_path, csv, backbones["gpt2"], model=vocabulary, checkpoint=str(tmp_path / "cut"))
    with pytest.raises(Exception, match="map over the vocabulary"):
        alone = {"linear": "none"}
        run("import_upstream", tmp_path, csv, backbones["gpt2"], model=alone, checkpoint=str(tmp_path / "checkpoint"))
    with pytest.raises(Exception, match="they correct nothing"):
        corrected = {**vocabulary, "linear": "plain"}
        run("import_upstream", tmp_path, csv, backbones["gpt2"], model=corrected, checkpoint=str(tmp_path / "cut"))


def test_a_refusal_ends_with_status_3_after_its_report_and_forecast_takes_the_champion(
    csv: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Cron reads the status; people read the report; neither may forecast with what was refused."""
    caplog.set_level("INFO")
    recent = {"method": "recent", "test_rows": 80, "val_rows": 80}
    easy = {"mase": None, "seasonal_naive": False, "linear": None}
    first = run("retrain", tmp_path, csv, "none", split=recent, gates=easy)
    assert load_json(tmp_path, "08_reporting/retrain_report.json", first)["decision"] == "promoted"
    strict = {"mase": 0.01, "prefer": "fresh", "load": False}
    with pytest.raises(RefusedError, match="floor: MASE") as caught:
        run("retrain", tmp_path, csv, "none", split=recent, gates=strict, training={"max_steps": 11})
    assert caught.value.status == 3
    reports = sorted((tmp_path / "08_reporting/retrain_report.json").glob("*/retrain_report.json"))
    assert [json.loads(path.read_text(encoding="utf-8"))["decision"] for path in reports] == ["promoted", "refused"]
    assert len(list((tmp_path / "06_models/timellm_model").glob("2*"))) == 2
    run_plainly("forecast", tmp_path, csv)
    assert f"forecasting with the champion, version {first}" in caplog.text


def test_the_champion_forecasts_while_the_environment_has_settings_for_the_next_candidate(
    csv: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a refusal the champion forecasts; its window is no longer that of conf/production."""
    recent = {"method": "recent", "test_rows": 80, "val_rows": 80}
    run("retrain", tmp_path, csv, "none", split=recent, gates={"mase": None, "linear": None, "load": False})
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "production").mkdir()
    (conf / "production/parameters.yml").write_text("window: {seq_len: 60}\n", encoding="utf-8")
    place = {"data_root": str(tmp_path), "raw_csv": str(csv)}
    with KedroSession.create(ROOT, env="production", conf_source=str(conf), runtime_params=place) as session:
        session.run(pipeline_names=["forecast"])
    assert "window.seq_len is 60 here and 48 in the model: the champion keeps its own value" in caplog.text
    with pytest.raises(ParameterError, match="window.seq_len is 60 here and 48 in the model"):
        run_plainly("forecast", tmp_path, csv, window={"seq_len": 60})


def test_a_refused_model_does_not_forecast_for_want_of_a_champion(csv: Path, tmp_path: Path) -> None:
    """`forecast` took the newest model, which had just been refused."""
    recent = {"method": "recent", "test_rows": 80, "val_rows": 80}
    with pytest.raises(RefusedError):
        run("retrain", tmp_path, csv, "none", split=recent, gates={"mase": 0.01, "load": False})
    with pytest.raises(RefusedError, match="was refused by a retraining: floor: MASE") as caught:
        run_plainly("forecast", tmp_path, csv)
    assert "--load-versions timellm_model:" in caught.value.do and caught.value.status == 3


@pytest.mark.parametrize(
    ("env", "raw", "root"),
    [("colab", "/content/timellm/01_raw", "/content/timellm/"), ("etth1", "data/01_raw/ETTh1", "data/")],
)
def test_an_environment_says_where_things_are(env: str, raw: str, root: str) -> None:
    """A second config loader anywhere in the process would answer with the places of conf/base."""
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env=env) as session:
        catalog = session.load_context().catalog
        assert raw in str(catalog["raw_series"]._describe())
        assert root + "08_reporting" in str(catalog["test_metrics"]._describe())


def test_without_its_drive_a_hosted_run_does_not_begin(csv: Path, tmp_path: Path) -> None:
    """Checkpoints beside the mount point would go with the machine."""
    runtime = {"raw_csv": str(csv), "data_root": str(tmp_path / "d"), "checkpoint_root": str(tmp_path / "no/drive")}
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env="colab", runtime_params=runtime) as session:
        catalog = session.load_context().catalog
        with pytest.raises(DatasetError, match="not mounted"):
            catalog["step_checkpoints"].load()


def test_results_are_newer_than_those_of_a_clock_that_ran_ahead(plain: tuple[Path, str], csv: Path) -> None:
    """Each save deleted itself, and `forecast` silently used the older model."""
    root, first = plain
    for folder in [path for path in root.rglob(first) if path.is_dir()]:
        folder.rename(folder.with_name("2099-01-01T00.00.00.000Z"))
    run("train", root, csv, "none", training={"max_steps": 9})
    for name in ("06_models/timellm_model", "08_reporting/test_metrics.json", "08_reporting/run_manifest.json"):
        newest = max(path.name for path in (root / name).glob("2*"))
        assert newest.startswith("2099-01-01T00.00.00.") and newest > "2099-01-01T00.00.00.000Z", name
    assert load_json(root, "08_reporting/run_manifest.json", newest)["trained_in"] == newest
    assert (root / "06_models/timellm_model" / newest / "run_manifest.json").is_file()


@pytest.mark.parametrize("change", ["scaled", "gone"])
def test_intervals_that_were_changed_are_not_published(plain: tuple[Path, str], csv: Path, change: str) -> None:
    """The 80 % interval held 0.9 % of the truth, with status 0."""
    root, version = plain
    training_id = load_json(root, "08_reporting/run_manifest.json", version)["training_id"]
    path = root / "06_models/checkpoints" / training_id / "intervals.safetensors"
    if change == "gone":
        path.unlink()
    else:
        widths = safetensors.numpy.load(path.read_bytes())["half_widths"]
        path.write_bytes(safetensors.numpy.save({"half_widths": widths * np.float32(0.01)}))
    for pipeline, more in (("train", {}), ("publish", {"checkpoint": "best"})):
        with pytest.raises(UserError, match="prediction intervals"):
            run(pipeline, root, csv, "none", **more)
    (path.parent / "finished.json").unlink()
    again = run("train", root, csv, "none")
    digests = [load_json(root, "08_reporting/run_manifest.json", one)["outputs"] for one in (version, again)]
    assert digests[0]["intervals.safetensors"] == digests[1]["intervals.safetensors"], "they are made again"


@pytest.mark.parametrize("content", ["[]", "{}", '{"best_step": 5}', "\x00", "", None])
def test_a_damaged_finished_marker_is_made_again(
    plain: tuple[Path, str], csv: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It ended in a traceback, or in another model than validation chose."""
    root, version = plain
    manifest = load_json(root, "08_reporting/run_manifest.json", version)
    path = root / "06_models/checkpoints" / manifest["training_id"] / "finished.json"
    best = f'"best_step": {manifest["best_step"]}'
    edited = path.read_text(encoding="utf-8").replace(best, '"best_step": 4')
    path.write_text(edited if content is None else content, encoding="utf-8")
    again = load_json(root, "08_reporting/run_manifest.json", run("train", root, csv, "none"))
    assert again["outputs"] == manifest["outputs"] and again["steps_run"] == 0
    assert "finished.json is ignored" in caplog.text


def test_compare_writes_a_table_and_no_model_version(csv: Path, backbones: dict[str, Path], tmp_path: Path) -> None:
    """A variant among the model versions would be forecast with, or push the champion out."""
    variants = {"language model": {}, "no language model": {"backbone.name": "none"}}
    few, compared = {"max_steps": 4, "validate_steps": 4}, {"num_seeds": 1, "variants": variants}
    version = run("compare", tmp_path, csv, backbones["llama"], training=few, compare=compared)
    table = (tmp_path / "08_reporting/comparison_table.md" / version / "comparison_table.md").read_text("utf-8")
    assert "| no language model |" in table and "- `no language model` minus `language model`" in table
    report = load_json(tmp_path, "08_reporting/comparison.json", version)
    assert set(report["variants"]) >= set(variants)
    assert not (tmp_path / "06_models/timellm_model").exists()


def test_a_long_file_of_ragged_series_trains_and_its_forecast_is_long(tmp_path: Path) -> None:
    """Stores open and close; a forecast of a long file is joined to it by its own columns."""
    rng, parts = np.random.default_rng(0), []
    for number, start in enumerate(("2020-01-01", "2020-01-04", "2020-01-09 06:00", "2020-01-20")):
        stamps = pd.date_range(start, "2020-01-20 23:00" if number == 1 else "2020-01-21 23:00", freq="h")
        wave = np.sin(2 * np.pi * stamps.hour / 24) + 0.1 * rng.normal(size=len(stamps))
        parts.append(pd.DataFrame({"shop": f"={number}", "item": 7, "hour": stamps.astype(str), "sold": wave}))
    csv = tmp_path / "sales.csv"
    pd.concat(parts).to_csv(csv, index=False)
    data = {"id_columns": ["shop", "item"], "date_column": "hour"}
    dates = {"method": "dates", "validation_from": "2020-01-15", "test_from": "2020-01-18"}
    window = {"seq_len": 48, "pred_len": 12}
    run("train", tmp_path, csv, "none", data=data, split=dates, window=window)
    version = run_plainly("forecast", tmp_path, csv, forecast={"origins": 2})
    table = pd.read_parquet(tmp_path / "07_model_output/forecast.parquet" / version / "forecast.parquet")
    assert table.columns[:5].tolist() == ["shop", "item", "window_end", "step", "hour"]
    assert table["shop"].unique().tolist() == ["=0", "=1", "=2"], "the last one has 48 rows: too few for two origins"
    assert table.groupby("shop").size().tolist() == [24, 24, 24] and table["item"].unique().tolist() == ["7"]
    newest = pd.to_datetime(table["hour"]).groupby(table["shop"]).max().astype(str).tolist()
    assert newest == ["2020-01-22 11:00:00", "2020-01-21 11:00:00", "2020-01-22 11:00:00"], "each after its last row"
    assert load_json(tmp_path, "08_reporting/future_plot.json", version)["data"]
    model = TimeLLM.load(tmp_path / "06_models/timellm_model" / newest_model(tmp_path))
    alone = model.forecast(pd.read_csv(csv).query("shop == '=1'"))  # without a repeated time stamp
    own = table[table["shop"] == "=1"]
    expected = own[own["window_end"] == own["window_end"].max()]
    assert alone["channel"].unique().tolist() == ["=1/7"] and np.allclose(alone["forecast"], expected["forecast"])


def newest_model(data_root: Path) -> str:
    """Newest model version."""
    return max(path.name for path in (data_root / "06_models/timellm_model").glob("2*"))


def promoted_sales() -> pd.DataFrame:
    """Daily sales of four stores that start at different times; a promotion doubles them, also in the next 12 days."""
    rng, tables = np.random.default_rng(0), []
    for number in range(4):
        rows = 400 - 40 * number
        days = pd.date_range("2023-12-31", periods=rows, freq="-1D")[::-1]
        promotion = (rng.random(rows) < 0.2).astype(int)
        sold = 10 * (1 + promotion) + rng.normal(0, 0.5, rows)
        sold[-12:] = np.nan
        facts = {"store": f"S{number}", "date": days, "sales": sold, "promotion": promotion, "region": "north"}
        tables.append(pd.DataFrame(facts))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.long
def test_a_long_file_with_known_columns_is_trained_evaluated_and_forecast(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    """The future promotions in the same file, and in a second one; without them, one error."""
    table, root = promoted_sales(), tmp_path / "data"
    path, past, plan = tmp_path / "sales.csv", tmp_path / "past.csv", tmp_path / "plan.csv"
    table.to_csv(path, index=False)
    table.dropna(subset="sales").to_csv(past, index=False)
    table[table["sales"].isna()].drop(columns=["sales", "region"]).to_csv(plan, index=False)
    data = {
        "id_columns": ["store"],
        "value_column": "sales",
        "known_columns": ["promotion"],
        "static_columns": "region",
    }
    run("train", root, path, backbones["llama"], data=data, prompt={"series_facts": "static"})
    (linear,) = (root / "06_models/timellm_model").glob("*/timellm_model/linear.safetensors")
    assert b"effect_coefficients" in linear.read_bytes()
    metrics = newest_json(root / "08_reporting/test_metrics.json")
    assert metrics["models"]["timellm"]["scaled"]["mse"] < 0.3 * metrics["models"]["linear"]["scaled"]["mse"]
    run_plainly("evaluate", root, path)
    run_plainly("forecast", root, path)
    first = newest_table(root / "07_model_output/forecast.parquet")
    assert first.columns[:2].tolist() == ["store", "window_end"] and len(first) == 4 * 12
    run_plainly("forecast", root, past, known_csv=str(plan))
    pd.testing.assert_frame_equal(newest_table(root / "07_model_output/forecast.parquet"), first)
    with pytest.raises(Exception, match="has no known columns") as caught:
        run_plainly("forecast", root, past)
    assert "known_csv=PATH" in str(find_user_error(caught.value))


def newest_json(folder: Path) -> Any:
    return json.loads(sorted(folder.glob("*/*.json"))[-1].read_text(encoding="utf-8"))


def newest_table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(sorted(folder.glob("*/*.parquet"))[-1])


def test_the_inputs_of_workers_are_written_with_the_command_that_starts_them(
    csv: Path, backbones: dict[str, Path], tmp_path: Path
) -> None:
    """For several machines: torchrun runs the training in that folder."""
    version = run("worker_inputs", tmp_path, csv, backbones["llama"], training={"accumulate": 2})
    command = (tmp_path / "05_model_input/worker_command.txt" / version / "worker_command.txt").read_text(
        encoding="utf-8"
    )
    (folder,) = tmp_path.glob("06_models/checkpoints/*/worker_inputs")
    assert command.endswith(f"-m timellm_pipeline work {folder}\n") and "torchrun" in command
    handoff = Handoff.read(WorkFolder(folder))
    assert handoff.store.root == tmp_path / "06_models/checkpoints" and handoff.version == version
    assert handoff.parameters.training.accumulate == 2
    with pytest.raises(Exception, match="3 workers are more than training.accumulate 2"):
        run("train", tmp_path, csv, backbones["llama"], training={"accumulate": 2}, workers={"processes": 3})
