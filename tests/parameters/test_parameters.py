"""Parameters are parsed once at the door: every mistake is named there, together, with what to do."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from timellm_pipeline.errors import ParameterError, UserError
from timellm_pipeline.parameters import Group, Parameters, WindowParams, parse_parameters
from timellm_pipeline.parameters.root import GROUP_MODELS

PATHS = {"raw_csv", "data_root", "checkpoint_root"}


def refusal(raw: dict[Any, Any]) -> str:
    """What the ParameterError of wrong parameters says is wrong."""
    with pytest.raises(ParameterError) as caught:
        parse_parameters(raw)
    return caught.value.what


def test_every_problem_is_named_at_once() -> None:
    """Without it a person corrects one value, starts again, and meets the next mistake, run after run."""
    message = refusal(
        {
            "window": {"seqlen": 512, "patch_len": 0},
            "training": {"batch_size": "many", "precision": "fp8"},
            "modle": {"d_model": 16},
            "split": {"train_ratio": 0.9},
        }
    )
    assert message.startswith("6 parameters are wrong: ")
    for place in ("window.seqlen", "window.patch_len", "training.batch_size", "training.precision", "modle", "split"):
        assert f"`{place}`" in message
    for found in ("is 0:", "is 'many':", "is 'fp8':"):
        assert found in message


def test_one_problem_is_one_message_with_place_and_remedy() -> None:
    """Without it the error would say that something is wrong but not where, or what to do."""
    with pytest.raises(ParameterError) as caught:
        parse_parameters({"training": {"batch_size": 0}})
    error = caught.value
    assert isinstance(error, UserError)
    assert error.what == "1 parameter is wrong: `training.batch_size` is 0: input should be greater than or equal to 1"
    assert "conf/base/parameters.yml" in error.where
    assert "--params" in error.where
    assert error.do
    assert str(error) == f"{error.what}\n  where: {error.where}\n  do:    {error.do}"


@pytest.mark.parametrize(
    ("raw", "wrong", "near"),
    [
        ({"window": {"seq_length": 96}}, "window.seq_length", "window.seq_len"),
        ({"training": {"batchsize": 8}}, "training.batchsize", "training.batch_size"),
        ({"backbone": {"layer": 4}}, "backbone.layer", "backbone.layers"),
        ({"trainings": {"seed": 1}}, "trainings", "training"),
        ({"raw_cvs": "a.csv"}, "raw_cvs", "raw_csv"),
    ],
)
def test_unknown_key_or_group_is_answered_with_the_nearest_name(raw: dict[str, Any], wrong: str, near: str) -> None:
    """Without it a misspelt name trains with the default value, and nobody learns of it."""
    assert f"`{wrong}` is not a parameter; did you mean `{near}`?" in refusal(raw)


def test_unknown_name_that_resembles_none_is_answered_with_all_of_them() -> None:
    """Without it the reader of such an error has to search the source for the names that exist."""
    assert all(name in refusal({"qqq": 1}) for name in [*GROUP_MODELS, *PATHS])
    assert all(name in refusal({"window": {"zzz": 1}}) for name in WindowParams.model_fields)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"window": {"seq_len": 8, "patch_len": 16}}, ["patch_len 16", "seq_len 8"]),
        ({"split": {"train_ratio": 0.8, "test_ratio": 0.2}}, ["train_ratio 0.8", "test_ratio 0.2"]),
        ({"training": {"accumulate": 8, "max_steps": 5}}, ["training.accumulate 8", "training.max_steps 5"]),
    ],
)
def test_contradiction_between_two_values_names_both(raw: dict[str, Any], named: list[str]) -> None:
    """Without it two values that are fine alone would fail hours later, or leave a range without rows."""
    message = refusal(raw)
    assert all(name in message for name in named)


def test_patch_as_long_as_the_window_is_allowed() -> None:
    """Without it the check of patch_len could be off by one and forbid a whole-window patch (2 patches)."""
    window = parse_parameters({"window": {"seq_len": 16, "patch_len": 16, "stride": 8}}).window
    assert window.patches_per_window == 2


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({"window": {"seq_len": 9.5}}, "window.seq_len"),
        ({"window": None}, "window"),
        ({"window": 3}, "window"),
        ({"model": {"dropout": 1.0}}, "model.dropout"),
        ({"model": {"dropout": float("nan")}}, "model.dropout"),
        ({"split": {"train_percent": 0}}, "split.train_percent"),
        ({"split": {"train_percent": 101}}, "split.train_percent"),
        ({"split": {"train_ratio": float("nan")}}, "split.train_ratio"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate"),
        ({"training": {"seed": -1}}, "training.seed"),
        ({"prompt": {"description_for": "f18de3"}}, "prompt.description_for"),
        ({"backbone": {"revisions": {"gpt2": 607}}}, "backbone.revisions.gpt2"),
        ({"training": {"learning_rate": float("inf")}}, "training.learning_rate"),
        ({1: 2}, "1"),
    ],
)
def test_value_out_of_range_is_refused_with_its_name(raw: dict[Any, Any], name: str) -> None:
    """Without it a value that means nothing reaches training, where it is a NaN or a traceback."""
    assert f"`{name}` is " in refusal(raw)


@pytest.mark.parametrize("name", ["training.batch_size", "window.seq_len", "training.learning_rate", "window.target"])
def test_yes_is_no_number(name: str) -> None:
    """YAML reads `yes` as true, and true is 1 for most libraries."""
    group, key = name.split(".")
    assert f"`{name}`: true is not a valid value" in refusal({group: {key: True}})


def test_a_contradiction_is_named_together_with_a_value_out_of_range() -> None:
    """Mended one after the other, each would cost a run."""
    message = refusal({"window": {"stride": 0}, "training": {"accumulate": 5, "max_steps": 2}})
    assert "`window.stride` is 0" in message and "training.accumulate 5 is more than training.max_steps 2" in message
    assert message.startswith("2 parameters are wrong")


def test_parameters_and_groups_are_frozen() -> None:
    """Without it a node could change a parameter after the training id was made from it."""
    parameters = parse_parameters({})
    with pytest.raises(ValidationError, match="frozen"):
        parameters.window = WindowParams(seq_len=512)
    for name in GROUP_MODELS:
        group = getattr(parameters, name)
        field = next(iter(type(group).model_fields))
        with pytest.raises(ValidationError, match="frozen"):
            setattr(group, field, getattr(group, field))


def test_root_sees_every_group_and_the_three_paths() -> None:
    """Without it a group could be added to the root and not to the table that finds nearest names."""
    annotations = {name: field.annotation for name, field in Parameters.model_fields.items()}
    groups = {name: kind for name, kind in annotations.items() if isinstance(kind, type) and issubclass(kind, Group)}
    assert groups == GROUP_MODELS
    assert annotations.keys() >= PATHS


@pytest.mark.parametrize("model", [Parameters, *GROUP_MODELS.values()])
def test_every_field_says_what_it_means_and_no_unknown_key_passes(model: type[BaseModel]) -> None:
    """Without it a parameter could be added without a word, or a group forget to inherit the strict base."""
    assert issubclass(model, Group)
    silent = [name for name, field in model.model_fields.items() if name not in GROUP_MODELS and not field.description]
    assert silent == []
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"no_such_parameter": 1})


def test_no_in_yaml_is_the_precision_no() -> None:
    """Our own advice was `training.precision=no`, which YAML reads as false."""
    assert parse_parameters({"training": {"precision": False}}).training.precision == "no"
    with pytest.raises(ParameterError, match=r"training\.precision"):
        parse_parameters({"training": {"precision": True}})


@pytest.mark.parametrize("name", ["raw_csv", "data_root", "checkpoint_root", "checkpoint"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_empty_path_is_an_unset_shell_variable(name: str, value: str | None) -> None:
    """Everything went into a folder named None."""
    with pytest.raises(ParameterError, match=f"`{name}` is empty: is a shell variable not set"):
        parse_parameters({name: value})


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("training", {"seed": 10**20}),
        ("training", {"learning_rate": 1e38}),
        ("training", {"num_workers": 10**6}),
        ("window", {"seq_len": 10**20}),
        ("gates", {"max_age": "NaT"}),
        ("gates", {"max_age": "-5D"}),
        ("gates", {"max_age": "1e99D"}),
        ("split", {"method": "recent", "test_rows": "1e99D"}),
    ],
)
def test_numbers_that_no_library_takes_are_refused(group: str, values: dict[str, Any]) -> None:
    """They ended in an overflow deep inside a library."""
    with pytest.raises(ParameterError, match=f"{group}.{list(values)[-1]}"):
        parse_parameters({group: values})
