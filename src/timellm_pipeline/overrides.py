"""Parameters that an environment or `--params` sets, and whether they contradict stored settings."""

from collections.abc import Collection, Sequence
from typing import Any

from kedro.config import OmegaConfigLoader

from timellm_pipeline.errors import ParameterError

FROM_THE_MODEL = ("split", "window", "prompt", "model", "backbone")  # groups that a trained model has its own values of
# The location of a backbone may change: its identity is checked on loading.
NOT_OF_THE_MODEL = {"backbone.name", "backbone.revisions"}

Overrides = dict[str, dict[str, Any]]  # values by group and key


def refuse_placeholders(params: dict[str, Any], path: str = "") -> None:
    """Raise ParameterError for the value `???`, which OmegaConf silently drops."""
    for name, value in params.items():
        if isinstance(value, dict):
            refuse_placeholders(value, f"{path}{name}.")
        elif value == "???":
            raise ParameterError(
                f"`{path}{name}` is '???', which stands for a missing value",
                where="--params or --config",
                do="set the value",
            )


def read_base(loader: OmegaConfigLoader, kind: str) -> dict[str, Any]:
    """The `parameters` or `globals` of the base environment, from a folder or an archive (`--conf-source x.tar.gz`).

    The run's own loader reads them: a second loader would also resolve `${globals:…}` of the first one, with the values
    of base.
    """
    folder = loader._get_conf_env_path(loader.base_env)
    found: dict[str, Any] = loader.load_and_merge_dir_config(folder, loader.config_patterns[kind], kind, set())
    return found


def find_overrides(
    merged: dict[str, Any], base: dict[str, Any], runtime: dict[str, Any], groups: Sequence[str]
) -> Overrides:
    """Values of parameter groups that differ from base or are in `--params`."""
    return {
        group: {
            key: value
            for key, value in (merged.get(group) or {}).items()
            if key in (runtime.get(group) or {}) or value != (base.get(group) or {}).get(key)
        }
        for group in groups
    }


def contradictions(overrides: Overrides, stored: Overrides, name: str, free: Collection[str] = ()) -> list[str]:
    """Every override that differs from a stored value, with both values.

    Args:
        name: what contains the stored values.
        free: names that may differ.
    """
    return [
        f"{group}.{key} is {value!r} here and {stored[group][key]!r} in {name}"
        for group, values in overrides.items()
        for key, value in values.items()
        if stored[group][key] != value and f"{group}.{key}" not in free
    ]


def refuse_contradictions(
    overrides: Overrides, stored: Overrides, owner: tuple[str, str], free: Collection[str] = ()
) -> None:
    """Raise ParameterError when an override differs from a stored value. The message names both values.

    Args:
        owner: what contains the stored values, and the advice.
        free: names that may differ.
    """
    name, advice = owner
    found = contradictions(overrides, stored, name, free)
    if found:
        raise ParameterError("; ".join(found), where="--env, --config or --params", do=advice)
