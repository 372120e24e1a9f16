"""The files under conf/ say what the parameter models say, in every environment."""

import re
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from conftest import ROOT, plan_rows
from timellm_pipeline.parameters import Parameters, parse_parameters
from timellm_pipeline.parameters.root import GROUP_MODELS
from timellm_pipeline.settings import CONFIG_LOADER_ARGS

CONF = ROOT / "conf"
PATHS = {"raw_csv", "data_root", "checkpoint_root", "known_csv"}  # globals: the catalog reads them, --params sets them
ENVIRONMENTS = sorted(path.parent.name for path in CONF.glob("*/parameters.yml"))
ETT_CHANNELS = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]


def load_parameters(env: str, runtime: dict[str, Any] | None = None) -> Parameters:
    """Parameters of an environment as Kedro loads them under the project's settings."""
    args = {**CONFIG_LOADER_ARGS, "default_run_env": env}
    return parse_parameters(OmegaConfigLoader(str(CONF), env=env, runtime_params=runtime, **args)["parameters"])


def read_yaml(env: str) -> dict[str, Any]:
    """One environment's own parameters.yml, merged with nothing."""
    content: dict[str, Any] = yaml.safe_load((CONF / env / "parameters.yml").read_text(encoding="utf-8"))
    return content


def test_base_lists_exactly_the_fields_of_the_models() -> None:
    """Without it a parameter could work without being written down, or be written down without working."""
    listed = read_yaml("base")
    assert listed.keys() == Parameters.model_fields.keys() - PATHS
    for group, model in GROUP_MODELS.items():
        assert listed[group].keys() == model.model_fields.keys(), group


def test_base_explains_every_value_on_its_line() -> None:
    """Without it a value could stand in the one commented file without its reason."""
    lines = (CONF / "base" / "parameters.yml").read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if re.match(r"(  )?\w+: *[^ #]", line)]
    groups = [len(group) if isinstance(group, dict) else 1 for group in read_yaml("base").values()]
    assert len(values) == sum(groups)
    assert [line for line in values if not re.search(r"\S  *# \S", line)] == []


def test_environments_of_the_design_are_there() -> None:
    """Without it a renamed folder would drop out of the tests below, which only see what they find."""
    assert {"base", "etth1", "etth1_llama3", "published", "colab"} <= set(ENVIRONMENTS)
    assert (CONF / "local" / ".gitkeep").is_file()


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_environment_parses_when_soft_merged_over_base(env: str) -> None:
    """Without it an environment nobody ran lately holds a key or value that the models refuse."""
    base, own = read_yaml("base"), read_yaml(env)
    assert own.keys() <= base.keys()
    parameters = load_parameters(env).model_dump(mode="json")
    for name, value in base.items():
        expected = {**value, **own.get(name, {})} if name in GROUP_MODELS else own.get(name, value)
        assert parameters[name] == expected, name


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_one_runtime_parameter_leaves_its_siblings(env: str) -> None:
    """Without it `--params window.pred_len=7` would set every other length of the window back to a default."""
    before, after = load_parameters(env), load_parameters(env, {"window": {"pred_len": 7}})
    assert after.window.pred_len == 7
    assert after.window.model_dump(exclude={"pred_len"}) == before.window.model_dump(exclude={"pred_len"})
    assert after.model_dump(exclude={"window"}) == before.model_dump(exclude={"window"})


def test_etth1_llama3_plans_the_numbers_of_the_design() -> None:
    """Without it the environment of the 29,011 steps could drift from the numbers that the docs promise."""
    parameters = load_parameters("etth1_llama3")
    plan = plan_rows(17_420, ETT_CHANNELS, parameters)
    assert (plan.seq_len, plan.stride, plan.batch_size, plan.num_workers, plan.save_steps) == (256, 8, 2, 2, 1000)
    assert (plan.train_windows, plan.steps_per_epoch, plan.patches_per_step) == (58_023, 29_011, 64)
    assert plan.checkpoints_per_epoch == 29


def test_colab_is_etth1_llama3_on_a_drive() -> None:
    """Kedro stacks one environment over base, so a value that stands in both must stay equal."""
    ours, theirs = read_yaml("colab"), read_yaml("etth1_llama3")
    assert ours["training"].pop("log_steps") < theirs["training"].pop("log_steps")
    assert ours == theirs
    catalog = yaml.safe_load((CONF / "colab/catalog.yml").read_text(encoding="utf-8"))
    assert catalog.keys() == {"step_checkpoints"} and catalog["step_checkpoints"]["on_a_drive"]
    own, fetched = (
        yaml.safe_load((CONF / env / "globals.yml").read_text(encoding="utf-8")) for env in ("colab", "etth1")
    )
    assert own["raw_csv"] == own["fetch"].pop("path") and own["data_root"] in own["raw_csv"]
    assert fetched["fetch"].pop("path") and own["fetch"] == fetched["fetch"]


def test_published_sets_every_switch_to_the_published_code() -> None:
    """Without it a comparison with the published code would differ by a switch that somebody forgot."""
    parameters = load_parameters("published")
    prompt = parameters.prompt
    assert (prompt.significant_digits, prompt.lags) == (None, "circular")
    assert (prompt.layout, prompt.statistics) == ("published", "normalised")
    assert (parameters.model.prototypes, parameters.training.schedule) == ("vocabulary", "halving")
    assert parameters.split.method == "ett_hour"
    assert (parameters.window.seq_len, parameters.window.pred_len, parameters.window.window_step) == (512, 96, 1)
    assert (parameters.evaluation.validation_step, parameters.evaluation.test_step) == (1, 1)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_backbone_of_the_hub_is_pinned(env: str) -> None:
    """Without it the same environment could train with another model tomorrow."""
    backbone = load_parameters(env).backbone
    if "/" in backbone.name:
        assert re.fullmatch(r"[0-9a-f]{40}", backbone.revisions[backbone.name])
    else:
        assert backbone.name in ("smollm2", "none")
