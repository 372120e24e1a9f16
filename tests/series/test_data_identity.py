"""One data id for scaler, scaled values, index and plan: it moves with the data and with nothing else."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import ModelError
from timellm_pipeline.parameters import DataParams, EvaluationParams, SplitParams, WindowParams
from timellm_pipeline.series import prepare

WINDOW = WindowParams(seq_len=24, pred_len=6)
SPLIT, EVALUATION = SplitParams(), EvaluationParams()


def make_series(num_rows: int = 200) -> pd.DataFrame:
    """A table of two channels."""
    dates = pd.date_range("2020-01-01", periods=num_rows, freq="h")
    values = np.arange(num_rows, dtype=np.float64)
    return pd.DataFrame({"date": dates, "A": values, "OT": -values})


def identity(
    series: pd.DataFrame,
    split: SplitParams = SPLIT,
    window: WindowParams = WINDOW,
    evaluation: EvaluationParams = EVALUATION,
) -> str:
    """The data id of a series under these parameters."""
    return prepare.split(prepare.validate(series, DataParams(), window), split, window, evaluation).data_id


def with_one_other_value(series: pd.DataFrame) -> pd.DataFrame:
    """The series with its last value moved by a billionth."""
    return series.assign(A=series["A"].where(series.index != 199, 199 + 1e-9))


@pytest.mark.parametrize(
    "change",
    [
        with_one_other_value,
        lambda series: series.assign(date=series["date"] + pd.Timedelta("1h")),
        lambda series: series.rename(columns={"A": "B"}),
        lambda series: series[["date", "OT", "A"]],
        lambda series: series.rename(columns={"A": "OT", "OT": "A"}),
        lambda series: series.iloc[:-1],
        lambda series: series.assign(extra=0.0),
    ],
    ids=["value", "date", "name", "order", "names swapped", "row", "channel"],
)
def test_data_id_changes_with_the_values(change: Any) -> None:
    """Without it a corrected CSV would meet the window index, or the finished training, of the old one."""
    assert identity(change(make_series())) != identity(make_series())


@pytest.mark.parametrize(
    "changed",
    [
        {"split": SplitParams(train_ratio=0.6)},
        {"split": SplitParams(test_ratio=0.1)},
        {"split": SplitParams(train_percent=50)},
        *[
            {"window": WINDOW.model_copy(update=update)}
            for update in (
                {"seq_len": 25},
                {"pred_len": 7},
                {"window_step": 2},
                {"features": "S"},
                {"features": "MS"},
                {"target": "A"},
            )
        ],
        {"evaluation": EvaluationParams(validation_step=2)},
        {"evaluation": EvaluationParams(test_step=2)},
    ],
    ids=str,
)
def test_data_id_changes_with_borders_and_windows(changed: dict[str, Any]) -> None:
    """Without it two indices with different windows would pass as one."""
    assert identity(make_series(), **changed) != identity(make_series())


@pytest.mark.parametrize(
    "changed",
    [
        {"training": {"batch_size": 4, "seed": 7, "learning_rate": 0.1, "max_steps": 9, "save_steps": 3}},
        {"model": {"d_model": 16, "dropout": 0.5}},
        {"prompt": {"description": "a pump"}},
        {"window": {"patch_len": 16, "stride": 2}},
        {"evaluation": {"batch_size": 7, "season": 12}},
    ],
    ids=str,
)
def test_data_id_does_not_change_with_training_parameters(raw_series: pd.DataFrame, changed: dict[str, Any]) -> None:
    """Without it every change of a learning rate would call the data new and refuse what is on disk."""
    inputs = make_inputs(raw_series, small_parameters(**changed))
    assert inputs.scaler.data_id == make_inputs(raw_series, small_parameters()).scaler.data_id


def test_every_data_set_carries_the_same_data_id(raw_series: pd.DataFrame) -> None:
    """Without it a mix of two runs would look like one run."""
    inputs = make_inputs(raw_series, small_parameters())
    carried = [inputs.scaler.data_id, inputs.scaled.data_id, inputs.index.facts.data_id]
    assert set(carried) == {inputs.plan.data_id}
    assert len(inputs.plan.data_id) == 64


def test_data_id_is_the_same_for_a_copy_and_for_any_resolution_of_time() -> None:
    """Without it pandas' choice of microseconds or nanoseconds would make a training start again."""
    series = make_series()
    ids = {identity(series.assign(date=series["date"].astype(f"datetime64[{unit}]"))) for unit in ("s", "us", "ns")}
    assert ids == {identity(series.copy(deep=True))}


def test_data_id_is_the_same_for_two_reads_of_dates_with_an_offset() -> None:
    """Without it a file with `+00:00` in its dates is never resumed: each start is another training."""
    ids = set()
    for _ in range(3):
        dates = pd.date_range("2020-01-01", periods=200, freq="h", tz="UTC").astype(str)
        raw = pd.DataFrame({"date": dates, "OT": np.arange(200.0)})
        ids.add(identity(raw))
    assert len(ids) == 1


@pytest.mark.parametrize("step", ["fit", "scale"])
def test_borders_of_another_series_are_refused(step: str) -> None:
    """A run that begins at one node reads the borders of the last run: its data id would name other values."""
    one, other = (prepare.validate(series, DataParams(), WINDOW) for series in (make_series(), make_series(300)))
    borders = prepare.split(one, SPLIT, WINDOW, EVALUATION)
    scaler = prepare.fit(one, borders)
    assert prepare.scale(one, borders, scaler).data_id == borders.data_id
    with pytest.raises(ModelError, match="not made from the same data"):
        if step == "fit":
            prepare.fit(other, borders)
        else:
            prepare.scale(other, borders, scaler)
