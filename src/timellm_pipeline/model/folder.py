"""The files of a model folder: their names, their damage, and older formats."""

import json
from pathlib import Path
from typing import Any

from timellm_pipeline.errors import ModelError
from timellm_pipeline.series.identity import digest_of_file, unsealed

FORMAT = 3
WEIGHTS, SCALER, CONFIG, LINEAR = "model.safetensors", "scaler.json", "config.json", "linear.safetensors"


def shapes_in(path: Path) -> dict[str, list[int]]:
    """Shape of each tensor in a safetensors file, from its header. Raises ModelError for a damaged header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"cannot read the weights: {error}", where=str(path), do="use another version, or train again"
        ) from error


def find_damage(folder: Path) -> str | None:
    """Description of the damage to the files of a model folder, or None if they are unchanged."""
    try:
        digests = read_config(folder)["sha256"]
        if not isinstance(digests, dict):
            raise TypeError
    except FileNotFoundError:
        return "config.json is missing"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"cannot use config.json ({error or type(error).__name__})"
    for name in {WEIGHTS, SCALER, *digests}:
        if Path(name).name != name:
            return f"config.json lists a file outside the folder, {name}"
        if not (folder / name).is_file():
            return f"{name} is missing"
        if digest_of_file(folder / name) != digests.get(name):
            return f"{name} was changed: its digest differs"
    return None


def as_newest_format(content: dict[str, Any]) -> dict[str, Any]:
    """Content of config.json, converted from an older format that is read."""
    for older, convert in ((1, _from_format_1), (2, _from_format_2)):
        if content.get("format") == older:
            content = convert(content)
    return content


def _from_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """Config of format 1 converted to format 2. Format 1 stored the parameters of reading at the top level."""
    others = {name: value for name, value in content.items() if name != "data"}
    return {**others, "format": 2, "trained_on": {"data": content.get("data")}}


def _from_format_2(content: dict[str, Any]) -> dict[str, Any]:
    """Config of format 2 converted to format 3. Models of format 2 have no linear part."""
    model = {**content.get("model", {}), "linear": "none"}
    return {**content, "format": FORMAT, "model": model, "alpha": 1.0, "alpha_reason": "Time-LLM forecasts alone"}


def read_config(folder: Path) -> dict[str, Any]:
    """Content of config.json. Raises OSError or ValueError."""
    return unsealed(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
