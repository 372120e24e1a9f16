"""Kedro hooks: log file, parameter checks, versions, training file, champion, exit status, single process."""

import logging
import os
from collections.abc import Collection, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, Version
from kedro.pipeline import Pipeline

from timellm_pipeline.datasets.atomic import AtomicDataset
from timellm_pipeline.datasets.raw_series import RawSeriesDataset
from timellm_pipeline.errors import ParameterError, RefusedError, SeriesError, UserError
from timellm_pipeline.logs import escape_in_all_handlers
from timellm_pipeline.parameters import DataParams, parse_parameters
from timellm_pipeline.pipelines.train.pipeline import GROUPS
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.versions import newer_than

log = logging.getLogger(__name__)

LAUNCHERS = ("WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_MIXED_PRECISION")
FROM_THE_MODEL = ("split", "window", "prompt", "model", "backbone")
# The location of a backbone may change: its identity is checked on loading.
NOT_OF_THE_MODEL = {"backbone.name", "backbone.revisions"}
OF_THE_MODEL = ("the model", "remove the setting (a trained model has its own), or train a model with it")
OF_SETTINGS = ("the settings of the earlier run", "run the whole pipeline with it, or remove it: kedro run")


class LogFileHook:
    """Writes every log record, including tracebacks, to logs/timellm.log of the project."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Attach the log file once per process, for any number of sessions. If that fails, the run continues."""
        logging.raiseExceptions = False  # a full disk under the log file must not print tracebacks
        escape_in_all_handlers()
        path = Path(context.project_path) / "logs" / "timellm.log"
        root = logging.getLogger()
        if any(getattr(handler, "baseFilename", None) == str(path) for handler in root.handlers):
            return
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            log.warning("%s cannot be created (%s): no log file is written", path.parent, error.strerror)
            return
        handler = RotatingFileHandler(path, maxBytes=10_000_000, backupCount=3, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        root.addHandler(handler)
        escape_in_all_handlers()


class CheckParametersHook:
    """Validates all parameters before the catalog is created, so that one error names every invalid value."""

    def __init__(self) -> None:
        self._overrides: dict[str, dict[str, Any]] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Parse the parameters and store the overrides. Raises ParameterError for invalid values."""
        loader = context.config_loader
        refuse_placeholders(loader.runtime_params or {})
        parsed = parse_parameters(loader["parameters"]).model_dump(mode="json")
        base, runtime = read_base(loader, "parameters"), loader.runtime_params or {}
        found = find_overrides(loader["parameters"], base, runtime, GROUPS)
        self._overrides = {group: {key: parsed[group][key] for key in keys} for group, keys in found.items()}

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Raise ParameterError when an environment or `--params` contradicts the trained model or stored settings.

        A run of some nodes, such as `--from-nodes train.train`, reads the settings that an earlier run stored.
        """
        if reads_for_model(pipeline):
            config = catalog["timellm_model"].load().config.model_dump(mode="json")
            overrides = {group: self._overrides[group] for group in FROM_THE_MODEL}
            refuse_contradictions(overrides, config, OF_THE_MODEL, NOT_OF_THE_MODEL)
        if "settings" in pipeline.inputs():
            log.info("the settings of an earlier run are used, because this run does not gather its own")
            settings = catalog["settings"].load().model_dump(mode="json")
            refuse_contradictions(self._overrides, settings, OF_SETTINGS)


class MonotoneVersionHook:
    """Gives the results of a run a later version than existing results, even if the clock was set back."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Set the same later version on every data set of the run, if the run's version would not be the newest."""
        datasets = [catalog[name] for name in sorted(pipeline.datasets()) if name in catalog]
        versioned = [
            item for item in datasets if isinstance(item, AbstractVersionedDataset) and item._version is not None
        ]
        newest = max((item.versions.newest() for item in versioned if isinstance(item, AtomicDataset)), default="")
        if not newest:
            return
        wanted = str(versioned[0].resolve_save_version())
        later = newer_than(newest, wanted)
        if later == wanted:
            return
        log.warning("the newest version %s is later than the system clock: this run has version %s", newest, later)
        for dataset in versioned:
            dataset._version = Version(dataset._version.load, later)


class UseTrainingFileHook:
    """Makes a trained model read its training file with the `data` settings of training, unless others are set."""

    def __init__(self) -> None:
        self._raw_csv_is_set = False
        self._data: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Detect what the environment or `--params` sets of `raw_csv` and `data`."""
        loader = context.config_loader
        runtime = loader.runtime_params or {}
        base = read_base(loader, "globals").get("raw_csv")
        self._raw_csv_is_set = "raw_csv" in runtime or loader["globals"].get("raw_csv") != base
        parameters = read_base(loader, "parameters")
        self._data = find_overrides(loader["parameters"], parameters, runtime, ["data"])["data"]

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Set the raw series and `params:data`. Raises SeriesError when the training file does not exist."""
        if not reads_for_model(pipeline):
            return
        trained_on = catalog["timellm_model"].load().config.trained_on
        settings = DataParams.model_validate({**trained_on.data.model_dump(), **self._data})
        if settings != catalog["params:data"].load():
            log.info("the file is read with the settings of training where none are set: %s", settings)
            catalog["params:data"].save(settings)
        if self._raw_csv_is_set:
            return
        path, raw = trained_on.path, catalog["raw_series"]
        if path is None:
            log.warning("the model does not record its training file: %s is read (set raw_csv to change it)", raw.path)
            return
        if not Path(path).exists():
            raise SeriesError(
                "the file that the model was trained on no longer exists",
                where=path,
                do="set the file to read: --params raw_csv=PATH",
            )
        catalog["raw_series"] = RawSeriesDataset(filepath=path, metadata=raw.metadata)


class UseChampionHook:
    """Makes `forecast` use the champion if there is one, unless `--load-versions timellm_model:…` sets a version."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Pin the champion's version. Raises ModelError when its folder is missing or damaged."""
        if "forecast" not in pipeline.all_outputs() or "timellm_model" in (run_params.get("load_versions") or {}):
            return
        dataset = catalog["timellm_model"]
        registry = Registry(Path(dataset._filepath).parent)
        champion = registry.champion()
        if champion is None:
            log.info("there is no champion: forecasting with the newest model")
            return
        registry.model(champion.version)
        log.info("forecasting with the champion, version %s since %s", champion.version, champion.since)
        dataset._version = Version(champion.version, dataset._version.save)


class SkippedNodesHook:
    """Logs which nodes `--only-missing-outputs` skips. conf/logging.yml hides Kedro's own report."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Enable the report of Kedro's runner, which selects the skipped nodes after this hook."""
        if run_params.get("only_missing_outputs"):
            log.info("nodes whose outputs exist are skipped, even if data or parameters have changed")
            logging.getLogger("kedro.runner").setLevel(logging.INFO)


class ExitStatusHook:
    """Ends the command with status 3 when a candidate was refused, after its report has been saved."""

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Raise RefusedError when the report says `refused`."""
        if "retrain_report" not in pipeline.outputs():
            return
        report = catalog["retrain_report"].load()
        if report["decision"] == "refused":
            raise RefusedError(
                f"the candidate was refused: {report['reason']}",
                where="retrain_report",
                do="see docs/retraining.md for the meaning of each gate; the champion is unchanged",
            )


class SingleProcessHook:
    """Refuses torchrun and `accelerate launch`, where every process would run the whole pipeline."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Raise UserError when a launcher's environment variable is set."""
        found = [name for name in LAUNCHERS if name in os.environ]
        if found:
            raise UserError(
                "kedro was launched by torchrun or accelerate: each process would run the whole pipeline",
                where=f"environment variable {found[0]}={os.environ[found[0]]}",
                do="start one process: kedro run --pipeline train",
            )


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


def reads_for_model(pipeline: Pipeline) -> bool:
    """Whether a pipeline reads a raw file for a trained model."""
    return any(
        {"raw_series", "timellm_model"} <= set(node.inputs) and "series" in node.outputs for node in pipeline.nodes
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
    merged: dict[str, Any], base: dict[str, Any], runtime: dict[str, Any], groups: Sequence[str] = FROM_THE_MODEL
) -> dict[str, dict[str, Any]]:
    """Values of parameter groups (by default those of a trained model) that differ from base or are in `--params`."""
    return {
        group: {
            key: value
            for key, value in (merged.get(group) or {}).items()
            if key in (runtime.get(group) or {}) or value != (base.get(group) or {}).get(key)
        }
        for group in groups
    }


def refuse_contradictions(
    overrides: dict[str, dict[str, Any]], stored: dict[str, Any], owner: tuple[str, str], free: Collection[str] = ()
) -> None:
    """Raise ParameterError when an override differs from a stored value. The message names both values.

    Args:
        owner: what contains the stored values, and the advice.
        free: names that may differ.
    """
    name, advice = owner
    contradictions = [
        f"{group}.{key} is {value!r} here and {stored[group][key]!r} in {name}"
        for group, values in overrides.items()
        for key, value in values.items()
        if stored[group][key] != value and f"{group}.{key}" not in free
    ]
    if contradictions:
        raise ParameterError(
            "; ".join(contradictions),
            where="--env, --config or --params",
            do=advice,
        )
