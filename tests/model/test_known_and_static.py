"""Models with known columns and static columns: trained, saved, loaded, and forecasting tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import ModelError, PromptError, SeriesError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.prepare import read_series
from timellm_pipeline.series.validation import Wanted
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.run import train_model

DATA = {
    "id_columns": ["store"],
    "value_column": "sales",
    "known_columns": ["promotion"],
    "static_columns": ["region"],
}
AHEAD = 12


def sales(long_text: bool = False) -> pd.DataFrame:
    """Daily sales of four stores; a promotion doubles them."""
    rng, rows = np.random.default_rng(0), 300 + AHEAD
    tables = []
    for number in range(4):
        promotion = (rng.random(rows) < 0.2).astype(int)
        sold = 10 * (1 + promotion) + rng.normal(0, 0.5, rows)
        sold[-AHEAD:] = np.nan
        days = pd.date_range("2022-01-01", periods=rows, freq="D")
        region = "north " * 400 if long_text and number == 3 else ["north", "south"][number % 2]
        facts = {"store": f"S{number}", "date": days, "sales": sold, "promotion": promotion, "region": region}
        tables.append(pd.DataFrame(facts))
    return pd.concat(tables, ignore_index=True)


def train(table: pd.DataFrame, backbone: Path, root: Path, **groups: dict[str, Any]) -> TimeLLM:
    groups = {"training": {"max_steps": 6}, "prompt": {"series_facts": "static"}, **groups}
    parameters = small_parameters(backbone, data=DATA, **groups)
    inputs = make_inputs(table, parameters)
    result = train_model(inputs, parameters, BackboneSource(root / "c"), CheckpointStore(root / "s"), "v")
    result.model.write(root / "model")
    return TimeLLM.load(root / "model", correction=True)


@pytest.fixture(scope="module")
def model(backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> TimeLLM:
    return train(sales(), backbones["llama"], tmp_path_factory.mktemp("known"))


def test_a_promotion_of_the_future_is_in_the_forecast(model: TimeLLM) -> None:
    """The published code, and a model of the values alone, cannot know it."""
    table = sales()
    found = model.forecast(table)
    promotion = table[table["sales"].isna()]["promotion"].to_numpy()
    with_promotion, without = (found["forecast"][promotion == value].mean() for value in (1, 0))
    assert len(found) == 4 * AHEAD and 19 < with_promotion < 21 and 9 < without < 11
    changed = table.assign(promotion=table["promotion"].where(table["sales"].notna(), 0))
    assert model.forecast(changed)["forecast"].max() < 12


def test_a_forecast_without_the_future_is_refused(model: TimeLLM) -> None:
    """With the first series and time stamp that are missing."""
    table = sales()
    with pytest.raises(SeriesError, match=r"`S0` has no known columns \(promotion\) at 2022-10-28 00:00:00; 4 of 4"):
        model.forecast(table[table["sales"].notna()])
    assert len(model.forecast(table, origins=2)) == 2 * 4 * AHEAD


def test_windows_alone_are_refused(model: TimeLLM) -> None:
    """A window of values has no known columns, and the forecast would be wrong in silence."""
    with pytest.raises(ModelError, match="this model uses known columns, which are not part of `x`"):
        model(torch.zeros(1, 48))
    with pytest.raises(ModelError, match="the model needs the known columns promotion; the series have none"):
        model.forecast_array(np.zeros((2, 48), dtype=np.float32), 2)


def test_prompts_name_the_series_and_the_known_columns(model: TimeLLM) -> None:
    """What a language model can read and a linear model cannot."""
    writer = model.writer
    assert writer is not None
    values = np.zeros((2, 60, 1), dtype=np.float32)
    values[1, 48:] = 1
    about = writer.about(["region: north", ""], KnownValues(("promotion",), values))
    assert about == ["region: north; promotion 0 then 0", "promotion 0 then 1"]
    windows = np.random.default_rng(0).standard_normal((2, 48)).astype(np.float32)
    first, second = writer.texts(windows, about)
    assert "\nSeries: region: north; promotion 0 then 0\nInput: " in first and "\nSeries: promotion 0" in second
    assert "Series:" not in writer.texts(windows)[0]
    published = writer.prompt.model_copy(update={"layout": "published"})
    other = type(writer)(writer.tokenizer, published, writer.window, "A table.")
    assert "Series: region: north; promotion 0 then 0; Input statistics: " in other.texts(windows, about)[0]


def test_the_text_of_a_series_changes_its_correction(model: TimeLLM) -> None:
    """And only its own: a forecast depends on its window and its series alone."""
    model.alpha = 1.0
    table = sales()
    found = model.forecast(table)
    moved = model.forecast(table.assign(region=table["region"].where(table["store"] != "S1", "west")))
    differs = ~np.isclose(found["forecast"], moved["forecast"], rtol=1e-6, atol=1e-6)
    assert set(found["channel"][differs]) == {"S1"}


def test_static_columns_are_needed_only_if_prompts_use_them(
    backbones: dict[str, Path], tmp_path: Path, model: TimeLLM
) -> None:
    """A model that ignores them forecasts tables without them."""
    without = train(sales(), backbones["llama"], tmp_path, prompt={"series_facts": "none"})
    assert len(without.forecast(sales().drop(columns="region"))) == 4 * AHEAD
    with pytest.raises(SeriesError, match="there is no column `region`"):
        model.forecast(sales().drop(columns="region"))


def test_series_with_other_static_columns_are_refused(model: TimeLLM) -> None:
    """Their prompts would be others, and the forecasts too."""
    table = sales().assign(kind="large")
    data = DataParams.model_validate({**DATA, "static_columns": ["region", "kind"]})
    panel = read_series(table, data, Wanted.for_forecast(["S0", "S1", "S2", "S3"]))
    with pytest.raises(ModelError, match="the prompts of the model contain the static columns `region`; the series ha"):
        model.forecast_panel(panel, 1, (), 8)


def test_columns_that_validation_drops_are_not_needed(backbones: dict[str, Path], tmp_path: Path) -> None:
    """A forecast must not wait for the future of a column that has no effect."""
    table = sales()
    row = table.groupby("store").cumcount()
    table["sales"] = table["sales"].where(
        row < 210, 10 - 5 * table["promotion"]
    )  # the effect turns round in validation
    table = table[row < 300]
    dropped = train(table, backbones["llama"], tmp_path)
    assert dropped.linear.effects is None and not dropped.saved.config.trained_on.data.known_columns
    assert len(dropped.forecast(table.drop(columns="promotion"))) == 4 * AHEAD


def test_a_text_that_is_too_long_is_refused_before_the_first_step(backbones: dict[str, Path], tmp_path: Path) -> None:
    """With the text."""
    with pytest.raises(PromptError, match=r"has positions for \d+\. What it says about the series: region: no"):
        train(sales(long_text=True), backbones["llama"], tmp_path)
    assert not list(tmp_path.rglob("step-*"))


def test_the_load_gate_passes_known_columns_and_texts_on(model: TimeLLM, tmp_path: Path) -> None:
    """Without them the other process would forecast something else, or fail."""
    from timellm_pipeline.model.array_windows import ArrayWindows
    from timellm_pipeline.model.window_files import read_windows, write_windows

    known = KnownValues(("promotion",), np.random.default_rng(0).random((2, 60, 1)).astype(np.float32))
    inputs = np.zeros((2, 48), dtype=np.float32)
    windows = ArrayWindows(inputs, ("S0", "S1"), np.array([0, 1]), ("region: north", "region: south"), known)
    write_windows(windows, tmp_path)
    expected, found = (model.forecast_all(one, 2) for one in (windows, read_windows(tmp_path)))
    np.testing.assert_array_equal(expected, found)
