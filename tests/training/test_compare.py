"""A comparison trains every variant with every seed on the same windows, and tests the mean over seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import ParameterError
from timellm_pipeline.evaluation.significance import compare_origins
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.compare import LINEAR, CompareReport, compare_variants
from timellm_pipeline.training.result import read_finished

VARIANTS: dict[str, dict[str, Any]] = {
    "language model": {},
    "random weights": {"backbone.weights": "random"},
    "alone": {"model.linear": "none", "training.batch_size": 4},
}


def compare(
    raw: pd.DataFrame, backbone: Path, root: Path, variants: dict[str, dict[str, Any]] = VARIANTS
) -> tuple[CompareReport, pd.DataFrame]:
    few = {"max_steps": 6, "save_steps": 3, "validate_steps": 3}
    parameters = small_parameters(backbone, training=few, compare={"num_seeds": 2, "variants": variants})
    data = make_inputs(raw, parameters)
    return compare_variants(data, parameters, BackboneSource(root / "c"), CheckpointStore(root / "s"), "v")


@pytest.fixture(scope="module")
def compared(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[CompareReport, pd.DataFrame, Path]:
    root = tmp_path_factory.mktemp("compare")
    return *compare(raw_series, backbones["llama"], root), root


def test_every_variant_is_trained_with_every_seed(compared: tuple[CompareReport, pd.DataFrame, Path]) -> None:
    """Two variants that share a training would always be equal."""
    report, origins, root = compared
    ids = [training_id for variant in report.variants.values() for training_id in variant.training_ids]
    assert len(set(ids)) == 6 == len([path for path in (root / "s").iterdir() if path.is_dir()])
    assert set(report.variants) == set(VARIANTS) and report.seeds == [2021, 2022]
    assert set(zip(origins["variant"], origins["seed"])) == {(name, seed) for name in VARIANTS for seed in report.seeds}


def test_errors_are_averaged_over_seeds_before_the_test(compared: tuple[CompareReport, pd.DataFrame, Path]) -> None:
    """Seeds counted as independent origins would make every difference significant."""
    report, origins, _ = compared
    validation = origins[origins["split"] == "validation"]
    mean = {name: rows.groupby("origin")["mse"].mean().to_numpy() for name, rows in validation.groupby("variant")}
    expected = compare_origins(mean["random weights"], mean["language model"], 2)
    assert report.variants["random weights"].against_reference == expected
    assert expected.origins == len(mean["alone"])
    for name, variant in report.variants.items():
        assert variant.validation_mse == pytest.approx(mean[name].mean())
    assert report.variants["language model"].against_reference is None


def test_time_llm_alone_is_compared_with_its_own_errors(compared: tuple[CompareReport, pd.DataFrame, Path]) -> None:
    """With a weight chosen by validation it would be another model than the one that is trained."""
    report, _, root = compared
    alone = report.variants["alone"]
    finished = [CheckpointStore(root / "s").run(training_id) for training_id in alone.training_ids]
    mses = [read_finished(run.folder).validation_mse for run in finished]
    assert alone.alphas == [1, 1] and alone.validation_mse == pytest.approx(np.mean(mses), rel=1e-5)


def test_a_comparison_that_is_run_again_trains_nothing(
    compared: tuple[CompareReport, pd.DataFrame, Path], raw_series: pd.DataFrame, backbones: dict[str, Path]
) -> None:
    """An interrupted comparison must not repeat finished trainings."""
    report, origins, root = compared
    before = {path: path.stat().st_mtime_ns for path in (root / "s").rglob("step-*")}
    again, same = compare(raw_series, backbones["llama"], root)
    assert again == report and same.equals(origins)
    assert {path: path.stat().st_mtime_ns for path in (root / "s").rglob("step-*")} == before


def test_the_table_has_every_variant_and_the_answer(compared: tuple[CompareReport, pd.DataFrame, Path]) -> None:
    """The question is whether the language model helps; a table without a verdict leaves it open."""
    report, _, _ = compared
    table = report.table()
    for name in (*VARIANTS, LINEAR):
        assert f"| {name} |" in table
    assert "- `random weights` minus `language model`, validation MSE:" in table
    assert f"Smallest validation MSE: {report.best}." in table


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model.d_modell": 4}, "did you mean"),
        ({"model.d_model": 0}, "model.d_model"),
        ({"window.seq_len": 24}, "changes `window.seq_len`"),
        ({"training.seed": 1}, "changes `training.seed`"),
    ],
)
def test_a_wrong_variant_is_refused_before_anything_is_trained(
    changes: dict[str, Any], match: str, raw_series: pd.DataFrame, tmp_path: Path
) -> None:
    """Found after the first variant, a misspelt parameter of the third would cost hours."""
    with pytest.raises(ParameterError, match=match):
        compare(raw_series, Path("none"), tmp_path, {"first": {}, "second": changes})
    assert not (tmp_path / "s").exists()
