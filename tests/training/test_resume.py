"""Promise 4: an interrupted run ends with the same bytes as an uninterrupted one."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from conftest import make_inputs, small_parameters
from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.evaluation.correction import PartErrors, part_errors
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import Parameters
from timellm_pipeline.training import fit as fit_module
from timellm_pipeline.training import gradients as gradients_module
from timellm_pipeline.training import loop as loop_module
from timellm_pipeline.training.checkpoint import CheckpointStore
from timellm_pipeline.training.history import TIME_COLUMNS
from timellm_pipeline.training.result import Resume, TrainingResult
from timellm_pipeline.training.run import train_model


class Killed(BaseException):
    """Represents SIGKILL: nothing in the program may catch it."""


def train(raw: pd.DataFrame, parameters: Parameters, root: Path, version: str = "v1") -> TrainingResult:
    source = BackboneSource(root.parent / "cache")
    return train_model(make_inputs(raw, parameters), parameters, source, CheckpointStore(root), version)


def kill_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """End the process the moment so many steps have been run, whatever has been saved by then."""
    original = loop_module.TrainingLoop._after_update

    def dying(self: Any, group: Any, *others: Any) -> None:
        if self.state.step >= step:
            raise Killed
        original(self, group, *others)

    monkeypatch.setattr(loop_module.TrainingLoop, "_after_update", dying)


def train_until_killed(
    raw: pd.DataFrame, parameters: Parameters, root: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train, and end the process after so many steps."""
    with monkeypatch.context() as patch:
        kill_after(patch, step)
        with pytest.raises(Killed):
            train(raw, parameters, root)


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    assert one.model.weights.keys() == other.model.weights.keys()
    for name, weight in one.model.weights.items():
        assert torch.equal(weight, other.model.weights[name]), name
    without_times = [result.history.drop(columns=list(TIME_COLUMNS)) for result in (one, other)]
    pd.testing.assert_frame_equal(*without_times, check_exact=True)
    for key in ("best_step", "validation_mse", "stop_reason", "training_id", "content_id"):
        assert getattr(one.record, key) == getattr(other.record, key), key


LONG = {"max_steps": 24, "save_steps": 2, "validate_steps": 5, "log_steps": 3, "batch_size": 64}


@pytest.fixture(scope="module")
def uninterrupted(raw_series: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """24 steps over several epochs (11 steps each) with dropout, never interrupted."""
    return train(raw_series, small_parameters(training=LONG), tmp_path_factory.mktemp("uninterrupted") / "store")


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8, 11, 12, 15, 20, 23])
def test_a_run_killed_at_any_step_ends_with_the_same_bytes(
    raw_series: pd.DataFrame, uninterrupted: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A resume that loses the order, a random state or a counter ends with another model."""
    parameters = small_parameters(training=LONG)
    train_until_killed(raw_series, parameters, tmp_path / "store", step, monkeypatch)
    resumed = train(raw_series, parameters, tmp_path / "store")
    assert_same(resumed, uninterrupted)
    last_saved = max([saved for saved in (*range(2, 24, 2), 5, 10, 15, 20) if saved < step], default=0)
    assert resumed.record.resumed_from == ([last_saved] if last_saved >= 2 else [])
    assert resumed.record.steps_run == 24 - (last_saved if last_saved >= 2 else 0)


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(
    raw_series: pd.DataFrame, uninterrupted: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one resume restores, the next one must be able to restore again."""
    parameters = small_parameters(training=LONG)
    for step in (7, 9, 16, 22):
        train_until_killed(raw_series, parameters, tmp_path / "store", step, monkeypatch)
    resumed = train(raw_series, parameters, tmp_path / "store")
    assert_same(resumed, uninterrupted)
    assert len(resumed.record.resumed_from) == 4


def test_a_killed_run_of_several_threads_ends_with_the_same_bytes(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several_threads: int
) -> None:
    """Sums that threads end in any order differ in their last bits; the other tests compute with one."""
    parameters = small_parameters(training={**LONG, "max_steps": 12})
    complete = train(raw_series, parameters, tmp_path / "complete")
    train_until_killed(raw_series, parameters, tmp_path / "store", 7, monkeypatch)
    resumed = train(raw_series, parameters, tmp_path / "store")
    assert_same(resumed, complete)
    assert resumed.record.resumed_from == [6] and torch.get_num_threads() == several_threads


@pytest.mark.parametrize("options", [{"accumulate": 3}, {"num_workers": 2}], ids=["accumulate", "workers"])
def test_accumulation_and_workers_resume_exactly(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict
) -> None:
    """A checkpoint inside an accumulation, or batches lost in a worker's queue, would shift everything after it.

    The training that is not interrupted has no workers: they take seconds to start, and change no number.
    """
    training = {**LONG, "max_steps": 14, "save_steps": 4, "batch_size": 16, **options}
    parameters, alone = (
        small_parameters(backbones["gpt2"], window={"window_step": 12}, training={**training, **others})
        for others in ({}, {"num_workers": 0})
    )
    complete = train(raw_series, alone, tmp_path / "complete")
    assert complete.history["epoch"].iloc[-1] > complete.history["epoch"].iloc[0]
    train_until_killed(raw_series, parameters, tmp_path / "store", 8, monkeypatch)
    resumed = train(raw_series, parameters, tmp_path / "store")
    assert_same(resumed, complete)
    assert resumed.record.resumed_from


def test_workers_and_saving_change_no_number(raw_series: pd.DataFrame, tmp_path: Path) -> None:
    """Parameters of speed and safety are not part of the training id, so they must not change the result."""
    plain = train(raw_series, small_parameters(), tmp_path / "a")
    other = small_parameters(training={"num_workers": 1, "save_steps": 5, "keep_checkpoints": 2})
    assert_same(train(raw_series, other, tmp_path / "b"), plain)


def test_early_stopping_keeps_counting_after_a_resume(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter that restarts at zero would train longer after each interruption."""
    parameters = small_parameters(
        training={**LONG, "max_steps": 80, "validate_steps": 4, "patience": 2, "learning_rate": 0.3},
        model={"linear": "none"},
    )
    complete = train(raw_series, parameters, tmp_path / "complete")
    assert complete.record.stop_reason == "early_stopping" and complete.record.steps < 80
    train_until_killed(raw_series, parameters, tmp_path / "store", complete.record.steps - 1, monkeypatch)
    assert_same(train(raw_series, parameters, tmp_path / "store"), complete)


@pytest.mark.parametrize("damage", ["flipped bit", "emptied state", "no manifest", "foreign format"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    raw_series: pd.DataFrame,
    uninterrupted: TrainingResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    """safetensors and torch.load read a flipped bit without complaint."""
    parameters = small_parameters(training=LONG)
    train_until_killed(raw_series, parameters, tmp_path / "store", 13, monkeypatch)
    newest = max((tmp_path / "store").glob("*/step-*"))
    assert newest.name == "step-000000012"
    if damage == "flipped bit":
        content = bytearray((newest / "trainable.safetensors").read_bytes())
        content[-7] ^= 1
        (newest / "trainable.safetensors").write_bytes(content)
    elif damage == "emptied state":
        (newest / "state.pt").write_bytes(b"")
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        manifest = (newest / "manifest.json").read_text(encoding="utf-8")
        (newest / "manifest.json").write_text(manifest.replace('"format": 3', '"format": 99'), encoding="utf-8")
    resumed = train(raw_series, parameters, tmp_path / "store")
    assert resumed.record.resumed_from == [10]
    assert "step-000000012 is skipped" in caplog.text
    assert_same(resumed, uninterrupted)


def test_other_parameters_start_a_new_training_and_the_log_names_them(
    raw_series: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Resuming a run of another learning rate would give a model that no parameters describe."""
    caplog.set_level("INFO")
    first = train(raw_series, small_parameters(), tmp_path / "store")
    second = train(raw_series, small_parameters(training={"learning_rate": 0.01}), tmp_path / "store")
    assert second.record.training_id != first.record.training_id
    assert second.record.resumed_from == []
    assert "training.learning_rate: 0.001 -> 0.01" in caplog.text


def test_another_version_resumes_with_a_warning_or_is_refused_on_request(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A new image must not lose ten hours, and must not pretend that nothing changed."""
    train_until_killed(raw_series, small_parameters(training=LONG), tmp_path / "store", 9, monkeypatch)
    monkeypatch.setattr("timellm_pipeline.training.identity.source_digest", lambda: "another source")
    with pytest.raises(CheckpointError, match="computed with other code, versions or devices: source"):
        train(raw_series, small_parameters(training={**LONG, "resume": "exact"}), tmp_path / "store")
    resumed = train(raw_series, small_parameters(training=LONG), tmp_path / "store")
    assert resumed.record.resumed_from == [8]
    (link,) = resumed.record.resume_chain
    assert link.byte_equal is False and link.differences[0].startswith("source: ")
    assert "byte equality is not guaranteed" in caplog.text


def test_a_finished_training_is_saved_again_and_not_repeated(
    raw_series: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Training again what is finished wastes hours; `trained` is wrong for a copy."""
    caplog.set_level("INFO")
    first = train(raw_series, small_parameters(), tmp_path / "store", "v1")
    second = train(raw_series, small_parameters(), tmp_path / "store", "v2")
    assert (first.record.trained, second.record.trained) == (True, False)
    assert second.record.trained_in == "v1" and second.record.steps_run == 0
    assert "is already finished (in version v1)" in caplog.text
    assert_same(second, first)
    forced = train(raw_series, small_parameters(training={"force": True}), tmp_path / "store", "v3")
    assert forced.record.trained_in == "v3" and forced.record.steps_run == 12
    assert_same(forced, first)


@pytest.mark.parametrize("linear", ["structured", "none"])
def test_the_last_validation_is_not_repeated_and_a_run_killed_after_it_ends_the_same(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linear: str
) -> None:
    """On long series the second pass took as long as training; without it a resumed run must still choose the same."""
    calls: list[str] = []
    for module in (loop_module, fit_module):

        def counted(*args: Any, name: str = module.__name__, **kwargs: Any) -> PartErrors:
            calls.append(name)
            return part_errors(*args, **kwargs)

        monkeypatch.setattr(module, "part_errors", counted)
    parameters = small_parameters(model={"linear": linear}, training={"validate_steps": 100})
    first = train(raw_series, parameters, tmp_path / "store")
    assert calls == [loop_module.__name__]
    (marker,) = (tmp_path / "store").glob("*/finished.json")
    marker.unlink()
    second = train(raw_series, parameters, tmp_path / "store")
    assert calls == [loop_module.__name__, fit_module.__name__]
    assert_same(second, first)
    assert second.record.alpha == first.record.alpha
    one, other = (result.model.intervals for result in (first, second))
    assert one is not None and other is not None and one.as_bytes() == other.as_bytes()


def test_a_finished_run_can_be_restored_from_its_store_alone(raw_series: pd.DataFrame, tmp_path: Path) -> None:
    """When only the mounted drive is left, the model must come back from it."""
    first = train(raw_series, small_parameters(), tmp_path / "store")
    shutil.copytree(tmp_path / "store", tmp_path / "moved")
    assert_same(train(raw_series, small_parameters(), tmp_path / "moved"), first)


def damage(folder: Path) -> None:
    (folder / "trainable.safetensors").write_bytes(b"corrupt")


def test_a_damaged_best_checkpoint_is_found_on_resume_and_another_is_chosen(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Found only when training is over, it would cost all of it."""
    parameters = small_parameters(training=LONG, model={"linear": "none"})
    train_until_killed(raw_series, parameters, tmp_path / "store", 13, monkeypatch)
    store = CheckpointStore(tmp_path / "store")
    (folder,) = (tmp_path / "store").iterdir()
    best = store.run(folder.name).newest().state()["run"]["best_step"]
    assert best in (5, 10)
    damage(folder / f"step-{best:09d}")
    resumed = train(raw_series, parameters, tmp_path / "store")
    assert f"best checkpoint, step {best}, is lost" in caplog.text
    assert resumed.record.best_step in (15, 20, 24)
    (link,) = resumed.record.resume_chain
    assert link == Resume(step=12, byte_equal=False, differences=[f"best checkpoint: step {best} -> lost"])


def test_a_finished_run_whose_best_checkpoint_is_damaged_names_what_to_do(
    raw_series: pd.DataFrame, tmp_path: Path
) -> None:
    """The marker alone is no model."""
    first = train(raw_series, small_parameters(), tmp_path / "store")
    damage(next((tmp_path / "store").glob(f"*/step-{first.record.best_step:09d}")))
    with pytest.raises(CheckpointError, match="best checkpoint is damaged") as caught:
        train(raw_series, small_parameters(), tmp_path / "store")
    assert "training.force=true" in caught.value.do
    assert_same(train(raw_series, small_parameters(training={"force": True}), tmp_path / "store"), first)


def test_force_keeps_the_finished_result_until_nothing_can_go_wrong_before_the_first_step(
    raw_series: pd.DataFrame, backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that cannot be reached must not cost the finished model."""
    parameters = small_parameters(backbones["gpt2"])
    first = train(raw_series, parameters, tmp_path / "store")

    def unreachable(*args: Any) -> None:
        raise CheckpointError("no hub", where="", do="")

    with monkeypatch.context() as patch:
        patch.setattr(BackboneSource, "load", unreachable)
        with pytest.raises(CheckpointError, match="no hub"):
            train(raw_series, small_parameters(backbones["gpt2"], training={"force": True}), tmp_path / "store")
    again = train(raw_series, parameters, tmp_path / "store", "v2")
    assert again.record.steps_run == 0
    assert_same(again, first)


def test_a_finished_result_of_another_source_is_reported_or_refused_on_request(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its manifest must name what computed it, not what reads it."""
    first = train(raw_series, small_parameters(), tmp_path / "store")
    monkeypatch.setattr("timellm_pipeline.training.identity.source_digest", lambda: "another source")
    with pytest.raises(
        CheckpointError, match="this finished training was computed with other code, versions or devices: source"
    ):
        train(raw_series, small_parameters(training={"resume": "exact"}), tmp_path / "store")
    again = train(raw_series, small_parameters(), tmp_path / "store", "v2")
    assert again.record.content == first.record.content
    assert again.record.content_id == first.record.content_id == again.model.config.content_id
    assert "this finished training was computed with other code, versions or devices" in caplog.text


def test_other_data_is_named_by_its_parameters_not_by_digests(
    raw_series: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`data.scaled_series: 5f0c… -> 91ab…` shows nobody what was changed."""
    caplog.set_level("INFO")
    train(raw_series, small_parameters(), tmp_path / "store")
    train(raw_series, small_parameters(split={"train_ratio": 0.6}), tmp_path / "store")
    (message,) = [record.message for record in caplog.records if "a new training" in record.message]
    assert "split.train_ratio: 0.7 -> 0.6" in message and "data.scaled_series" not in message


def test_the_loss_scaler_of_fp16_is_resumed(
    raw_series: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scaler that starts anew grows at other steps, and skips other updates. A CPU has no fp16, but has a scaler."""
    original = loop_module.TrainingLoop.__init__

    def with_scaler(self: Any, *args: Any) -> None:
        original(self, *args)
        self.scaler = self.gradients.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=3)

    mse = torch.nn.functional.mse_loss
    monkeypatch.setattr(gradients_module.F, "mse_loss", lambda one, other: 16 * mse(one, other))
    monkeypatch.setattr(loop_module.TrainingLoop, "__init__", with_scaler)
    parameters = small_parameters(training=LONG)
    complete = train(raw_series, parameters, tmp_path / "complete")
    skipped = complete.history["skipped_updates"]
    assert 0 < skipped.iloc[0] < skipped.iloc[-1] < 20, "overflows early and late"
    train_until_killed(raw_series, parameters, tmp_path / "store", 13, monkeypatch)
    assert_same(train(raw_series, parameters, tmp_path / "store"), complete)
