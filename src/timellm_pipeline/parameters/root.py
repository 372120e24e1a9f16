"""All parameter groups together: unknown keys, and constraints between groups.

Kedro checks each group by the type of a node's argument, but it accepts a misspelt top-level key silently and cannot
compare two groups. So a hook parses all parameters here before any node runs.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import ErrorDetails

from timellm_pipeline.errors import ParameterError
from timellm_pipeline.parameters.backbone import BackboneParams
from timellm_pipeline.parameters.compare import CompareParams
from timellm_pipeline.parameters.data import DataParams
from timellm_pipeline.parameters.evaluation import EvaluationParams
from timellm_pipeline.parameters.explain import ExplainParams
from timellm_pipeline.parameters.forecast import ForecastParams
from timellm_pipeline.parameters.group import Group
from timellm_pipeline.parameters.model import ModelParams
from timellm_pipeline.parameters.prompt import PromptParams
from timellm_pipeline.parameters.retrain import GatesParams, RetrainParams
from timellm_pipeline.parameters.split import SplitParams
from timellm_pipeline.parameters.training import TrainingParams
from timellm_pipeline.parameters.window import WindowParams
from timellm_pipeline.parameters.workers import WorkersParams

GROUP_MODELS: dict[str, type[Group]] = {
    "data": DataParams,
    "split": SplitParams,
    "window": WindowParams,
    "backbone": BackboneParams,
    "prompt": PromptParams,
    "model": ModelParams,
    "training": TrainingParams,
    "evaluation": EvaluationParams,
    "forecast": ForecastParams,
    "explain": ExplainParams,
    "compare": CompareParams,
    "retrain": RetrainParams,
    "gates": GatesParams,
    "workers": WorkersParams,
}


FILES = "parameters (conf/base/parameters.yml, the environment's parameters.yml, --params)"
PATHS = ("raw_csv", "known_csv", "data_root", "checkpoint_root", "checkpoint")


class Parameters(Group):
    """All parameter groups, the checkpoint to publish, and the paths that `--params` can set."""

    data: DataParams = DataParams()
    split: SplitParams = SplitParams()
    window: WindowParams = WindowParams()
    backbone: BackboneParams = BackboneParams()
    prompt: PromptParams = PromptParams()
    model: ModelParams = ModelParams()
    training: TrainingParams = TrainingParams()
    evaluation: EvaluationParams = EvaluationParams()
    forecast: ForecastParams = ForecastParams()
    explain: ExplainParams = ExplainParams()
    compare: CompareParams = CompareParams()
    retrain: RetrainParams = RetrainParams()
    gates: GatesParams = GatesParams()
    workers: WorkersParams = WorkersParams()

    raw_csv: str | None = None
    """Path of the raw series; used by the catalog."""

    known_csv: str | None = None
    """Path of a file with the known columns of the future, for a forecast; used by the catalog."""

    data_root: str | None = None
    """Folder of all data sets; used by the catalog."""

    checkpoint_root: str | None = None
    """Folder of the step checkpoints; used by the catalog."""

    checkpoint: str = "newest"
    """The checkpoint that `publish` turns into a model: `newest` or `best` of this training id, or a path. For
    `import_upstream`: the path of a checkpoint of the published code."""

    @model_validator(mode="after")
    def _groups_fit(self) -> "Parameters":
        found = contradictions({name: getattr(self, name) for name in GROUP_MODELS})
        if found:
            raise ValueError("; ".join(found))
        return self


def contradictions(groups: Mapping[str, Any]) -> list[str]:
    """Violated constraints between groups. Only the given groups are compared; the others may be invalid themselves."""
    found = []
    backbone, model, training = (groups.get(name) for name in ("backbone", "model", "training"))
    if backbone and model and backbone.name == "none" and model.prototypes == "vocabulary":
        found.append(
            "model.prototypes=vocabulary needs a vocabulary, and backbone.name=none has none; set model.prototypes=free"
        )
    if backbone and backbone.weights == "random" and (backbone.name == "none" or backbone.quantization != "none"):
        found.append(
            "backbone.weights=random needs a language model that is not quantized; set backbone.weights=pretrained, or "
            "backbone.quantization=none"
        )
    data, prompt = groups.get("data"), groups.get("prompt")
    if data and prompt and prompt.series_facts == "static" and not data.static_columns:
        found.append("prompt.series_facts=static needs data.static_columns; name the columns, or set series_facts=none")
    if data and model and data.known_columns and model.linear == "none":
        found.append("data.known_columns are regressors of the linear part; set model.linear=structured or plain")
    window = groups.get("window")
    if model and window and model.season is not None and model.season > window.seq_len:
        found.append(
            f"model.season {model.season} is longer than window.seq_len {window.seq_len}: no window contains a season"
        )
    if training and training.max_steps is not None and training.accumulate > training.max_steps:
        found.append(
            f"training.accumulate {training.accumulate} is more than training.max_steps {training.max_steps}: "
            "no full update would be made"
        )
    workers = groups.get("workers")
    if workers and workers.shard == "layers":
        found += _sharding_contradictions(workers, backbone, training)
    return found


def _sharding_contradictions(
    workers: WorkersParams, backbone: BackboneParams | None, training: TrainingParams | None
) -> list[str]:
    """Settings that do not work with layers that are shared between workers."""
    found = []
    if workers.processes == 1:
        found.append("workers.shard=layers needs several workers; set workers.processes, or workers.shard=none")
    if backbone and backbone.name == "none":
        found.append("workers.shard=layers needs a language model, and backbone.name is none; set workers.shard=none")
    if backbone and backbone.quantization != "none":
        found.append(
            f"backbone.quantization={backbone.quantization} with workers.shard=layers gives wrong weights without an "
            "error (accelerate#3983); set one of them to none"
        )
    if backbone and backbone.weights == "random":
        found.append("backbone.weights=random draws whole layers; set workers.shard=none")
    if training and training.compile:
        found.append("training.compile does not support shared layers; set workers.shard=none, or compile=false")
    return found


def parse_parameters(raw: Mapping[str, Any], where: str = FILES) -> Parameters:
    """All groups as frozen models. Raises a ParameterError that lists every problem.

    Args:
        raw: values by group and name.
        where: origin of the values, for the error.
    """
    # An unset shell variable gives an empty value, which would become a folder named "None".
    empty = [name for name in PATHS if name in raw and not str(raw[name] or "").strip()]
    problems = [f"`{name}` is empty: is a shell variable not set?" for name in empty]
    try:
        parsed = Parameters.model_validate({name: value for name, value in raw.items() if name not in empty})
    except ValidationError as error:
        problems += [_sentence(detail) for detail in error.errors()]
        if not any(detail["loc"] == () for detail in error.errors()):  # pydantic stopped before it compared the groups
            problems += contradictions(_valid_groups(raw))
    if not problems:
        return parsed
    count = "1 parameter is" if len(problems) == 1 else f"{len(problems)} parameters are"
    raise ParameterError(
        f"{count} wrong: " + "; ".join(problems),
        where=where,
        do="correct the value; conf/base/parameters.yml explains each one",
    )


def _valid_groups(raw: Mapping[str, Any]) -> dict[str, Group]:
    """The groups that are valid on their own."""
    valid = {}
    for name, model in GROUP_MODELS.items():
        try:
            valid[name] = model.model_validate(raw.get(name, {}))
        except ValidationError:
            continue
    return valid


def _sentence(detail: ErrorDetails) -> str:
    """One problem as `group.name: what is wrong`, with the nearest name where a key is unknown."""
    path = [str(part) for part in detail["loc"]]
    name = ".".join(path) or "parameters"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean `{'.'.join([*path[:-1], near[0]])}`?" if near else f"known: {', '.join(known)}"
        return f"`{name}` is not a parameter; {hint}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"`{name}`: {message}" if path else message
    return f"`{name}` is {detail['input']!r}: {message[0].lower()}{message[1:]}"


def _known_keys(path: list[str]) -> list[str]:
    model: type[BaseModel] = Parameters
    for part in path:
        model = GROUP_MODELS[part]
    return list(model.model_fields)
