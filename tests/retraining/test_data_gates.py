"""A fault of the newest rows is found, however long the history is, before anything is trained."""

from typing import Any

import pandas as pd
import pytest

from conftest import small_parameters
from synthetic import synthetic_series
from timellm_pipeline.model.saved import TrainedOn
from timellm_pipeline.parameters import DataParams, EvaluationParams, GatesParams, WindowParams
from timellm_pipeline.retraining.data_gates import data_gates
from timellm_pipeline.retraining.gates import Gate
from timellm_pipeline.series.prepare import prepare

ROWS = 3 * 365 * 24
NOW = pd.Timestamp("2030-01-01")


def gates_of(raw: pd.DataFrame, champion: Any = None, gates: dict[str, Any] | None = None, **groups: Any) -> list[Gate]:
    """The data gates of a table, by default with validation and test of 30 days each."""
    split = {"method": "recent", "test_rows": "30D", "val_rows": "30D", **groups.pop("split", {})}
    parameters = small_parameters(split=split, data={"gaps": "interpolate"}, **groups)
    made = prepare(raw, parameters)
    chosen = GatesParams.model_validate(gates or {})
    return data_gates(made.series, made.training, made.split_borders.borders, champion, chosen, NOW)


def gate(name: str, raw: pd.DataFrame, **others: Any) -> Gate:
    """One data gate by its name."""
    (found,) = [one for one in gates_of(raw, **others) if one.gate == name]
    return found


@pytest.fixture(scope="module")
def years() -> pd.DataFrame:
    """Three years of hours in two channels."""
    frame = synthetic_series(num_rows=ROWS, seed=3)[["date", "HUFL", "OT"]]
    return frame.assign(date=frame["date"].astype(str))


@pytest.mark.parametrize(
    ("missing", "passed"),
    [
        (range(ROWS - 241, ROWS - 1), False),
        (range(ROWS - 1000, ROWS - 980), False),
        (range(5000, 5240), True),
        (range(ROWS - 1), True),
    ],
    ids=["the newest ten days", "a day in the test", "ten days, long ago", "nothing"],
)
def test_newest_rows_that_were_filled_in_are_refused_however_long_the_file_is(
    years: pd.DataFrame, missing: range, passed: bool
) -> None:
    """Three years with the newest ten days invented passed: 0.91 % of all rows."""
    raw = years.drop(index=missing) if len(missing) < ROWS - 1 else years
    found = gate("data: filled-in rows", raw.reset_index(drop=True))
    assert found.passed is passed, found
    assert "of all rows" in found.found and "of validation and test" in found.found and "newest 60 rows" in found.found


def test_one_outlier_is_no_drift_and_a_broken_sensor_is(years: pd.DataFrame) -> None:
    """A single glitch refused a retraining; a level that stays wrong must."""
    one = years.copy()
    one.loc[ROWS - 50, "OT"] = 1e6
    assert gate("data: range", one).passed is True
    broken = years.copy()
    broken.loc[ROWS - 10 :, "OT"] = 1e6
    found = gate("data: range", broken)
    assert found.passed is False and "`OT`, the newest 60 rows" in found.found
    off = gate("data: range", broken, gates={"range_deviations": None})
    assert off.passed is None and off.limit == "off"


def test_an_outlier_in_training_hides_no_drift(years: pd.DataFrame) -> None:
    """It would widen the standard deviation a thousandfold."""
    raw = years.copy()
    raw.loc[100, "OT"] = 1e7
    level = 30 * years["OT"].std()
    raw.loc[ROWS - 100 :, "OT"] += level
    assert gate("data: range", raw).passed is False


def test_a_test_that_is_too_short_is_refused_before_training_and_names_the_length(years: pd.DataFrame) -> None:
    """Half of the candidates that are no better were promoted where the test had a single origin."""
    short = {"test_rows": 12 * 16, "val_rows": 200}
    found = gate("test: origins", years, champion=_like(years), split=short)
    assert found.passed is False and found.limit.startswith("at least 32: a test of 198 rows, split.test_rows=198")
    enough = gate("test: origins", years, champion=_like(years), split={**short, "test_rows": 198})
    assert enough.passed is True and enough.found == "32 origins (6 rows apart)"


def test_the_first_champion_is_not_compared_and_learns_what_the_next_needs(years: pd.DataFrame) -> None:
    """Otherwise it would be learned a week later, from a refusal."""
    found = gate("test: origins", years, split={"test_rows": 192, "val_rows": 192})
    assert found.passed is None and "a comparison with a champion will need" in found.found
    for loose in ({"prefer": "fresh"}, {"champion": False}):
        names = [one.gate for one in gates_of(years, gates=loose, split={"test_rows": 192, "val_rows": 192})]
        assert "test: origins" not in names


@pytest.mark.parametrize("pred_len", [1, 12, 24, 96])
@pytest.mark.parametrize("step", [1, 6, None])
def test_the_default_test_is_long_enough_for_its_own_gate(years: pd.DataFrame, pred_len: int, step: int | None) -> None:
    """The documented `28D` had one origin for daily data."""
    window = WindowParams(seq_len=48, pred_len=pred_len, window_step=None, patch_len=8, stride=4).model_dump()
    evaluation = EvaluationParams(validation_step=step, test_step=step).model_dump()
    open_split = {"test_rows": None, "val_rows": None}
    found = gate("test: origins", years, champion=_like(years), split=open_split, window=window, evaluation=evaluation)
    assert found.passed is (step is None or step <= pred_len), found


@pytest.mark.parametrize(("rows", "missing"), [(120, 0), (420, 1), (420, 30)])
def test_the_length_that_a_refusal_names_is_enough(years: pd.DataFrame, rows: int, missing: int) -> None:
    """A longer test derives another step, and a gap costs origins: the advice was refused again."""
    hours = years.iloc[-4000:].reset_index(drop=True)
    hours = hours.drop(index=range(3900, 3900 + missing)).reset_index(drop=True)
    window = WindowParams(seq_len=168, pred_len=24, window_step=None).model_dump()
    evaluation = {"validation_step": None, "test_step": None}
    split = {"method": "recent", "test_rows": rows, "val_rows": 600}

    def found(test_rows: int) -> Gate:
        data = {"gaps": "drop_windows"}
        groups: dict[str, Any] = {"window": window, "evaluation": evaluation, "data": data}
        parameters = small_parameters(split={**split, "test_rows": test_rows}, **groups)
        made = prepare(hours, parameters)
        borders, champion = made.split_borders.borders, _like(hours)
        gates = data_gates(made.series, made.training, borders, champion, GatesParams(), NOW)
        return next(one for one in gates if one.gate == "test: origins")

    short = found(rows)
    assert short.passed is False
    named = int(short.limit.split("split.test_rows=")[1].split(",")[0])
    assert named > rows and found(named).passed is True


def _like(raw: pd.DataFrame) -> Any:
    """A champion of these channels."""

    class Config:
        channels, frequency = list(raw.columns[1:]), "h"
        window = WindowParams(pred_len=24)
        trained_on = TrainedOn(data=DataParams())

    return type("Champion", (), {"config": Config})
