"""A candidate is promoted, refused, or not needed, and the champion can be had back."""

import functools
import gc
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import PreTrainedModel

from conftest import small_parameters
from synthetic import synthetic_series
from timellm_pipeline.errors import ModelError, TrainingError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.network import Network
from timellm_pipeline.retraining import gates as gates_module
from timellm_pipeline.retraining import scoring
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.retraining.retrain import Retraining, retrain
from timellm_pipeline.series.prepare import prepare
from timellm_pipeline.training import loop as loop_module
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.result import read_finished

EASY: dict[str, Any] = {"mase": None, "seasonal_naive": False, "linear": None}
EASY |= {"prefer": "fresh", "tolerance": 0.5, "slices": 3.0, "load": False}  # a process for each load takes seconds
RECENT = {"method": "recent", "test_rows": "3D", "val_rows": "2D"}


class Workplace:
    """One machine that retrains."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry = Registry(root / "models")
        self.number = 0

    def retrain(self, raw: pd.DataFrame, version: str = "", now: str = "2020-03-01", **groups: Any) -> dict[str, Any]:
        """Retrain on a cut of the series; returns the report."""
        self.number += 1
        gates = {**EASY, **groups.pop("gates", {})}
        training = {"max_steps": 20, "learning_rate": 0.01, **groups.pop("training", {})}
        split = groups.pop("split", RECENT)
        parameters = small_parameters(split=split, gates=gates, training=training, **groups)
        prepared = prepare(raw, parameters)
        given = Retraining(
            data=prepared.training,
            series=prepared.series,
            borders=prepared.split_borders.borders,
            parameters=parameters,
            source=BackboneSource(self.root / "cache"),
            store=CheckpointStore(self.root / "checkpoints"),
            registry=self.registry,
            version=version or v(self.number),
        )
        return retrain(given, pd.Timestamp(now))


def v(number: int) -> str:
    """Name of the model version of that number."""
    return f"2026-01-01T00.00.00.{number:03d}Z"


@functools.cache
def longest() -> pd.DataFrame:
    """A series, as read from a file."""
    frame = synthetic_series(num_rows=900, seed=1)
    frame["date"] = frame["date"].astype(str)
    return frame


def cut(rows: int) -> pd.DataFrame:
    """The first rows of a longer series."""
    return longest().iloc[:rows].copy()


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def by_name(report: dict[str, Any]) -> dict[str, Any]:
    return {gate["gate"]: gate for gate in report["gates"]}


def test_the_first_candidate_is_promoted_and_the_same_work_is_not_done_twice(workplace: Workplace) -> None:
    """Scheduled runs on unchanged data must cost seconds."""
    first = workplace.retrain(cut(500), gates={"load": True})
    assert first["decision"] == "promoted" and first["steps_run"] == 20
    assert by_name(first)["load: in a clean process"]["passed"] is True
    assert workplace.registry.champion().version == v(1)
    again = workplace.retrain(cut(500))
    assert again["decision"] == "nothing new" and again["steps_run"] == 0 and f"as version {v(1)}" in again["reason"]
    assert [one.decision for one in workplace.registry.journal().decisions] == ["promoted"]


def test_a_candidate_is_held_against_the_champion_on_rows_the_champion_has_not_seen(workplace: Workplace) -> None:
    """A champion that has seen the test would be hard to beat, and wrong."""
    workplace.retrain(cut(500))
    report = workplace.retrain(cut(640))
    gates = by_name(report)
    assert gates["champion: has not seen the test"]["passed"] is True
    assert report["decision"] == "promoted" and report["champion"]["version"] == v(1)
    assert gates["champion: not worse"]["passed"] and gates["champion: stability"]["passed"]
    overlapping = workplace.retrain(cut(650), split={"method": "recent", "test_rows": "9D", "val_rows": "2D"})
    assert overlapping["decision"] == "refused"
    assert by_name(overlapping)["champion: has not seen the test"]["passed"] is False
    assert workplace.registry.champion().version == v(2)


def test_a_worse_candidate_is_refused_by_its_numbers(workplace: Workplace) -> None:
    """Promotion on a schedule must not be promotion of anything."""
    workplace.retrain(cut(500), training={"max_steps": 60}, model={"linear": "none"})
    few = {"max_steps": 1}
    worse = workplace.retrain(cut(640), training=few, gates={"tolerance": 0.0}, model={"linear": "none"})
    assert worse["decision"] == "refused" and "champion: not worse" in worse["reason"]
    assert workplace.registry.champion().version == v(1)
    assert worse["candidate"]["test"]["timellm"]["mse"] > worse["champion"]["test_mse"]
    assert (workplace.root / "models/timellm_model" / v(2)).is_dir(), "a refused model is kept for inspection"


@pytest.mark.parametrize(
    ("spoil", "gate"),
    [
        (lambda raw: raw.drop(columns="HULL"), "data: schema"),
        (lambda raw: raw.assign(HULL=raw["HULL"].where(raw.index < 600, 1e4)), "data: range"),
        (lambda raw: raw.iloc[[*range(560), *range(580, 640)]].reset_index(drop=True), "data: filled-in rows"),
    ],
    ids=["schema", "range", "gap"],
)
def test_bad_data_is_refused_before_anything_is_trained(workplace: Workplace, spoil: Any, gate: str) -> None:
    """A sensor that broke on Sunday must not train on Monday."""
    workplace.retrain(cut(500), data={"gaps": "interpolate"})
    raw = cut(640)
    spoiled = spoil(raw)
    report = workplace.retrain(spoiled, data={"gaps": "interpolate"})
    assert report["decision"] == "refused" and by_name(report)[gate]["passed"] is False
    assert report["steps_run"] == 0 and report["candidate"] is None


def test_a_data_refusal_is_decided_again_with_its_reason(workplace: Workplace) -> None:
    """It was reported as `refused before, as version None`, with status 0, while nobody repaired the sensor."""
    workplace.retrain(cut(500))
    broken = cut(640).assign(HULL=lambda raw: raw["HULL"].where(raw.index < 600, 1e4))
    for _ in range(2):
        report = workplace.retrain(broken)
        assert report["decision"] == "refused" and report["reason"].startswith("data: range: ")
    assert workplace.retrain(cut(640))["decision"] == "promoted", "the repaired file is decided"


def test_a_loosened_gate_decides_anew_without_training_again(workplace: Workplace) -> None:
    """Refused, gate loosened, run again: the answer was `nothing new`."""
    strict = workplace.retrain(cut(500), gates={"mase": 0.01})
    assert strict["decision"] == "refused" and strict["steps_run"] == 20
    again = workplace.retrain(cut(500), gates={"mase": 0.01})
    assert again["decision"] == "nothing new" and again["reason"].endswith(strict["reason"])
    loose = workplace.retrain(cut(500), gates={"mase": 5.0})
    assert loose["decision"] == "promoted" and loose["steps_run"] == 0
    assert loose["candidate"]["content_id"] == strict["candidate"]["content_id"]
    assert workplace.registry.champion().version == v(3)


def test_a_failure_of_the_machine_decides_nothing(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that the system killed for want of memory had refused a good candidate for good."""
    killed = SimpleNamespace(returncode=-9, stderr="")
    with monkeypatch.context() as patch:
        patch.setattr(scoring.subprocess, "run", lambda *_, **__: killed)
        failed = workplace.retrain(cut(500), gates={"load": True})
    assert failed["decision"] == "refused" and "the process ended with status -9" in failed["reason"]
    again = workplace.retrain(cut(500), gates={"load": True})
    assert again["decision"] == "promoted" and again["steps_run"] == 0


def test_a_candidate_that_cannot_be_compared_is_refused_before_training(workplace: Workplace) -> None:
    """An added column was trained on every week, and refused every week."""
    workplace.retrain(cut(500))
    added = cut(640).assign(NEW=lambda raw: raw["OT"])
    turned = cut(640)[["date", *cut(640).columns[:0:-1]]]
    for raw, found in ((added, "other channels: `NEW`"), (turned, "the channels have another order")):
        report = workplace.retrain(raw)
        assert report["decision"] == "refused" and by_name(report)["data: schema"]["found"] == found
        assert report["steps_run"] == 0
    longer = workplace.retrain(cut(640), window={"pred_len": 6})
    assert longer["steps_run"] == 0 and by_name(longer)["data: schema"]["found"] == "window.pred_len=6"
    assert workplace.retrain(added, gates={"champion": False})["decision"] == "promoted"


def test_a_channel_may_have_braces_in_its_name(workplace: Workplace) -> None:
    """The name was part of a format string: the second retraining ended with a traceback."""
    names = {"HULL": "load{kW}", "MULL": "{}", "LULL": "{0:d}", "OT": "OT", "HUFL": "%s", "MUFL": "{x", "LUFL": "}"}
    for rows in (500, 640):
        assert workplace.retrain(cut(rows).rename(columns=names))["decision"] == "promoted"


def test_another_test_step_decides_anew(workplace: Workplace) -> None:
    """Everything that can change the decision belongs to its identity."""
    gates = {"seasonal_naive": True}
    first = workplace.retrain(cut(500), gates={**gates, "mase": 0.01})
    other = workplace.retrain(cut(500), gates={**gates, "mase": 0.01}, evaluation={"test_step": 4})
    assert (first["decision"], other["decision"], other["steps_run"]) == ("refused", "refused", 0)
    assert first["basis"] != other["basis"] and first["work"] == other["work"]


def test_a_model_that_was_rolled_back_does_not_come_back_by_itself(workplace: Workplace) -> None:
    """The next scheduled run would promote it again: it was better than the champion before it."""
    for rows in (500, 640):
        workplace.retrain(cut(rows))
    workplace.registry.rollback()
    again = workplace.retrain(cut(640))
    assert again["decision"] == "nothing new" and f"rolled back earlier, as version {v(2)}" in again["reason"]
    assert workplace.registry.champion().version == v(1)
    assert workplace.retrain(cut(640), training={"force": True})["decision"] == "promoted"


def test_a_warm_start_on_the_same_data_is_nothing_new(workplace: Workplace) -> None:
    """Its initial weights are those of the champion, which is its own result now."""
    alone: dict[str, Any] = {"model": {"linear": "none"}, "retrain": {"start": "champion"}}
    assert workplace.retrain(cut(500), **alone)["decision"] == "promoted"
    warm = workplace.retrain(cut(640), **alone)
    assert warm["decision"] == "promoted"
    assert workplace.retrain(cut(640), **alone)["decision"] == "nothing new"


def test_a_comparison_that_is_switched_off_is_reported_as_off(workplace: Workplace) -> None:
    """It was reported as `there is no champion yet`."""
    first = workplace.retrain(cut(500))
    assert by_name(first)["champion"]["found"] == "there is no champion yet"
    report = workplace.retrain(cut(640), gates={"champion": False})
    assert (by_name(report)["champion"]["found"], by_name(report)["champion"]["limit"]) == ("not compared", "off")


def test_errors_of_the_champion_after_its_promotion_are_in_the_journal(workplace: Workplace) -> None:
    """The test that chose a model cannot show how it fares."""
    workplace.retrain(cut(500))
    workplace.retrain(cut(640))
    first, second = workplace.registry.journal().decisions
    assert first.live is None and second.live is not None
    assert second.live.first > str(first.newest_row) and second.live.last == second.newest_row
    assert second.live.mse > 0 and 0 <= second.live.inside["80"] <= second.live.inside["95"] <= 1
    assert second.gates and {gate["gate"] for gate in second.gates} >= {"data: range", "champion: not worse"}


def test_stale_data_is_refused_when_an_age_is_set(workplace: Workplace) -> None:
    """A schedule that keeps running after the data stopped would look healthy."""
    report = workplace.retrain(cut(500), now="2020-02-01", gates={"max_age": "2D"})
    assert report["decision"] == "refused" and "age of the newest row" in report["reason"]
    fresh = workplace.retrain(cut(510), now="2020-01-22 10:00:00", gates={"max_age": "2D"})
    assert fresh["decision"] == "promoted"


def test_floors_refuse_what_is_not_worth_its_electricity(workplace: Workplace) -> None:
    """A champion that loses to last week is none."""
    report = workplace.retrain(cut(500), training={"max_steps": 1}, gates={"mase": 0.2, "seasonal_naive": True})
    assert report["decision"] == "refused"
    assert by_name(report)["floor: MASE"]["passed"] is False and by_name(report)["floor: linear"]["passed"] is None
    simple = {"model": {"linear": "none"}, "training": {"max_steps": 1}}
    worse = workplace.retrain(cut(500), gates={"linear": 1.02}, **simple)
    assert worse["decision"] == "refused" and "floor: linear" in worse["reason"], "also for the first champion"
    assert workplace.registry.champion() is None


def test_rollback_goes_one_champion_back_and_again(workplace: Workplace) -> None:
    """A bad champion at night must be gone in a minute."""
    for rows in (500, 640, 780):
        assert workplace.retrain(cut(rows))["decision"] == "promoted"
    assert workplace.registry.rollback() == (v(3), v(2))
    assert workplace.registry.champion().version == v(2)
    assert workplace.registry.rollback() == (v(2), v(1))
    with pytest.raises(ModelError, match="no previous champion"):
        workplace.registry.rollback()
    decisions = [one.decision for one in workplace.registry.journal().decisions]
    assert decisions == ["promoted"] * 3 + ["rolled back"] * 2
    assert workplace.retrain(cut(900))["decision"] == "promoted"
    assert workplace.registry.rollback() == (v(4), v(1))


def test_old_versions_go_and_the_champions_stay(workplace: Workplace) -> None:
    """A weekly retraining must not fill the disk, and a rollback must find where it leads."""
    workplace.registry = Registry(workplace.root / "models", keep_versions=1)
    reports = [workplace.retrain(cut(500))]
    reports += [workplace.retrain(cut(rows), gates={"prefer": "better", "tolerance": 0.0}) for rows in (524, 548)]
    reports += [workplace.retrain(cut(rows)) for rows in (620, 644)]
    assert [report["decision"] for report in reports] == ["promoted", "refused", "refused", "promoted", "promoted"]
    kept = set(workplace.registry.versions.names())
    assert kept == {v(4), v(5)}, "the champion and the one before it"
    runs = {path.name for path in (workplace.root / "checkpoints").iterdir()}
    assert runs == {report["candidate"]["training_id"] for report in reports[3:]}
    assert workplace.registry.rollback() == (v(5), v(4))


def test_checkpoints_that_another_process_is_in_are_left_alone(workplace: Workplace) -> None:
    """Somebody may be training that very training again."""
    first = workplace.retrain(cut(500))
    for rows in (548, 596, 644):
        workplace.retrain(cut(rows))
    store = CheckpointStore(workplace.root / "checkpoints")
    run, pruning = store.run(first["candidate"]["training_id"]), Registry(workplace.registry.root, keep_versions=1)
    with run.alone():
        pruning.prune(store)
        assert read_finished(run.folder) is not None and run.newest() is not None
    pruning.prune(store)
    assert not run.folder.exists()


def test_checkpoints_stay_as_long_as_a_version_of_their_training_does(workplace: Workplace) -> None:
    """A training that was promoted, and forced again and refused, is still the champion's."""
    workplace.registry = Registry(workplace.root / "models", keep_versions=1)
    first = workplace.retrain(cut(500))
    again = workplace.retrain(cut(500), training={"force": True}, gates={"mase": 0.01})
    assert (first["decision"], again["decision"]) == ("promoted", "refused")
    assert first["candidate"]["training_id"] == again["candidate"]["training_id"]
    assert (workplace.root / "checkpoints" / first["candidate"]["training_id"] / "finished.json").exists()


def test_a_retraining_that_was_interrupted_resumes(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spot machines are taken away in the middle of the night's job."""
    whole = loop_module.TrainingLoop._after_update

    def dying(self: Any, *others: Any) -> None:
        whole(self, *others)
        if self.state.step == 12:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop_module.TrainingLoop, "_after_update", dying)
        with pytest.raises(KeyboardInterrupt):
            workplace.retrain(cut(500))
    assert workplace.registry.journal().decisions == ()
    report = workplace.retrain(cut(500))
    assert report["decision"] == "promoted" and report["resumed_from"] == [12] and report["steps_run"] == 8


def test_a_warm_start_begins_with_the_champions_weights(workplace: Workplace) -> None:
    """Without it `retrain.start` could be read by nobody."""
    alone = {"linear": "none"}
    workplace.retrain(cut(500), training={"max_steps": 60}, model=alone)
    few = {"max_steps": 1, "learning_rate": 1e-6}
    warm = workplace.retrain(cut(640), training=few, retrain={"start": "champion"}, model=alone)
    cold = workplace.retrain(cut(640), training=few, model=alone)
    errors = [report["candidate"]["test"]["timellm"]["mse"] for report in (warm, cold)]
    assert errors[0] == pytest.approx(warm["champion"]["test_mse"], rel=1e-2)
    assert errors[0] < errors[1]


def test_two_retrainings_at_once_are_one_too_many(workplace: Workplace) -> None:
    """Both would move the pointer."""
    hold = "import sys; from pathlib import Path; from timellm_pipeline.retraining.registry import Registry\n"
    hold += "with Registry(Path(sys.argv[1])).alone(): print('in', flush=True); sys.stdin.read()"
    root = str(workplace.registry.root)
    with subprocess.Popen(
        [sys.executable, "-c", hold, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(TrainingError, match="another retraining is running"):
            workplace.retrain(cut(500))
        other.kill()
        other.wait()
    assert workplace.retrain(cut(500))["decision"] == "promoted"


@pytest.mark.parametrize("content", ['{"version": ', "[]", "", None])
def test_a_damaged_pointer_is_repaired_from_the_journal(workplace: Workplace, content: str | None) -> None:
    """Taken for none, the next candidate would be promoted unopposed."""
    workplace.retrain(cut(500))
    pointer = workplace.registry.root / "champion.json"
    if content is None:
        pointer.unlink()
    else:
        pointer.write_text(content, encoding="utf-8")
    assert workplace.registry.champion().version == v(1)
    report = workplace.retrain(cut(640))
    assert report["champion"]["version"] == v(1) and report["decision"] == "promoted"
    assert json.loads(pointer.read_text(encoding="utf-8"))["version"] == v(2)


def test_the_worst_slice_is_found() -> None:
    """A mean that is better may hide a channel that is ruined."""

    class Sums:
        def __init__(self, squared: list[list[float]]) -> None:
            self.squared, self.windows = np.array(squared), np.array([1, 1])

    class Test:
        names = ("a", "b")

    def scores(squared: list[list[float]]) -> Any:
        return type("Scores", (), {"sums": Sums(squared), "test": Test})()

    ours, theirs = scores([[1.0, 1, 1, 1], [4, 4, 4, 4]]), scores([[2.0, 2, 2, 2], [3, 3, 3, 3]])
    assert gates_module.worst_slice(ours, theirs) == ("channel b", pytest.approx(4 / 3))
    perfect = scores([[0.0, 0, 0, 0], [0, 0, 0, 0]])
    assert gates_module.worst_slice(perfect, perfect)[1] == 1, "a constant channel, without an error of either"
    late = scores([[1.0, 1, 1, 9], [1, 1, 1, 9]])
    assert gates_module.worst_slice(late, theirs)[0] == "quarter 4 of the horizon"


def test_a_decision_is_a_line_that_can_be_read(workplace: Workplace) -> None:
    """The history is what an audit asks for."""
    workplace.retrain(cut(500))
    (line,) = (workplace.registry.root / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
    assert {"time", "decision", "version", "work", "reason", "training_id", "test_mse"} <= json.loads(line).keys()


def test_no_model_is_in_memory_when_another_process_loads_the_candidate(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, backbones: dict[str, Path]
) -> None:
    """On a GPU the other process would find no room, and the load gate would refuse a good candidate."""
    alive: list[int] = []
    original = scoring._load_gate

    def models() -> int:
        return sum(issubclass(type(one), Network | PreTrainedModel) for one in gc.get_objects())

    def count(*args: Any) -> Any:
        alive.append(models())
        if len(alive) == 1:  # each process takes seconds: the second one is real
            return scoring.Gate("load: in a clean process", True, "", "")
        return original(*args)

    gc.collect()
    before = models()
    monkeypatch.setattr(scoring, "_load_gate", count)
    gc.disable()  # a collection at a lucky moment must not hide a model in a reference cycle
    few: dict[str, Any] = {"training": {"max_steps": 2}, "backbone": backbones["llama"]}
    try:
        for rows in (500, 640):
            report = workplace.retrain(cut(rows), gates={"load": True}, **few)
            assert by_name(report)["load: in a clean process"]["passed"] is True
    finally:
        gc.enable()
    assert alive == [before, before]


def stores(rows: int, names: list[str]) -> pd.DataFrame:
    """A long table of stores."""
    columns = [name for name in cut(1).columns if name != "date"]
    long = cut(rows).melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})
    long["unique_id"] = long["unique_id"].map(dict(zip(columns, names)))
    return long.dropna(subset="unique_id").reset_index(drop=True)


def test_stores_of_a_long_table_open_and_close(workplace: Workplace) -> None:
    """Candidate and champion are compared on the stores of both."""
    first = workplace.retrain(stores(500, ["A", "B", "C", "D", "E"]), split=RECENT)
    second = workplace.retrain(stores(572, ["new", "A", "C", "D", "other"]), split=RECENT)
    assert (first["decision"], second["decision"]) == ("promoted", "promoted"), second["reason"]
    assert by_name(second)["data: schema"]["found"] == ("3 of 5 series of the champion have test windows; 2 are new")
    assert second["candidate"]["num_windows"] == first["candidate"]["num_windows"], "floors count the new stores too"
    third = workplace.retrain(stores(644, ["1", "2", "A", "4", "5"]), split=RECENT)
    assert third["decision"] == "refused" and "fewer than half are left" in third["reason"]
    assert third["steps_run"] == 0


def test_stores_that_have_ended_but_are_still_in_the_file_are_no_common_ones(workplace: Workplace) -> None:
    """They have no test windows: scoring them was a traceback after the training."""
    workplace.retrain(stores(500, ["A", "B", "C", "D", "E"]))
    later = stores(572, ["A", "B", "C", "D", "E"])
    ended = later["unique_id"].isin(["A", "B"]) & (later["ds"] > str(later["ds"].iloc[420]))
    report = workplace.retrain(later[~ended].reset_index(drop=True))
    assert report["decision"] == "promoted", report["reason"]
    assert by_name(report)["data: schema"]["found"] == "as the champion"
