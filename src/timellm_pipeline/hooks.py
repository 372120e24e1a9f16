"""Kedro hooks: log file, parameter checks, versions, training file, champion, exit status, single process."""

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, Version
from kedro.pipeline import Pipeline

from timellm_pipeline.datasets.atomic import AtomicDataset
from timellm_pipeline.datasets.raw_series import RawSeriesDataset, find_parts
from timellm_pipeline.errors import RefusedError, SeriesError, UserError
from timellm_pipeline.logs import escape_in_all_handlers
from timellm_pipeline.overrides import (
    FROM_THE_MODEL,
    NOT_OF_THE_MODEL,
    Overrides,
    contradictions,
    find_overrides,
    read_base,
    refuse_contradictions,
    refuse_placeholders,
)
from timellm_pipeline.parameters import DataParams, parse_parameters
from timellm_pipeline.pipelines.train.pipeline import GROUPS
from timellm_pipeline.retraining.registry import Champion, Registry
from timellm_pipeline.versions import newer_than

log = logging.getLogger(__name__)

LAUNCHERS = ("WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_MIXED_PRECISION")
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
        self._overrides: Overrides = {}
        self._given: Overrides = {}  # with --params

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Parse the parameters and store the overrides. Raises ParameterError for invalid values."""
        loader = context.config_loader
        refuse_placeholders(loader.runtime_params or {})
        parsed = parse_parameters(loader["parameters"]).model_dump(mode="json")
        base, runtime = read_base(loader, "parameters"), loader.runtime_params or {}
        found = find_overrides(loader["parameters"], base, runtime, GROUPS)
        self._overrides = {group: {key: parsed[group][key] for key in keys} for group, keys in found.items()}
        self._given = {group: {key: parsed[group][key] for key in runtime.get(group) or {}} for group in GROUPS}

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Raise ParameterError when an environment or `--params` contradicts the trained model or stored settings.

        A run of some nodes, such as `--from-nodes train.train`, reads the settings that an earlier run stored. The
        settings of an environment are those of the next training: a champion that was trained with others forecasts.
        """
        if reads_for_model(pipeline):
            config = catalog["timellm_model"].load().config.model_dump(mode="json")
            overrides = {group: self._overrides[group] for group in FROM_THE_MODEL}
            is_champion = find_champion(run_params, pipeline, catalog) is not None
            refused = {group: self._given[group] for group in FROM_THE_MODEL} if is_champion else overrides
            refuse_contradictions(refused, config, OF_THE_MODEL, NOT_OF_THE_MODEL)
            for difference in contradictions(overrides, config, OF_THE_MODEL[0], NOT_OF_THE_MODEL):
                log.warning("%s: the champion keeps its own value", difference)
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
        if not Path(path).exists() and not find_parts(Path(path)):
            raise SeriesError(
                "the file that the model was trained on no longer exists",
                where=path,
                do="set the file to read: --params raw_csv=PATH",
            )
        catalog["raw_series"] = RawSeriesDataset(
            filepath=path, folder=raw.folder and str(raw.folder), metadata=raw.metadata
        )


class UseChampionHook:
    """Makes `forecast` use the champion if there is one, unless `--load-versions timellm_model:…` sets a version."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Pin the champion's version.

        Raises ModelError when its folder is missing or damaged, RefusedError when there is no champion and the newest
        model was refused.
        """
        if not selects_model(run_params, pipeline):
            return
        dataset, registry = catalog["timellm_model"], registry_of(catalog)
        champion = registry.champion()
        if champion is None:
            registry.refuse_refused(dataset.versions.newest())
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
                do="on one machine: kedro run --pipeline train --params workers.processes=N; on several machines: "
                "kedro run --pipeline worker_inputs and its torchrun command (docs/scale-out.md)",
            )


def selects_model(run_params: dict[str, Any], pipeline: Pipeline) -> bool:
    """Whether a run forecasts and leaves it to the registry with which model."""
    return "forecast" in pipeline.all_outputs() and "timellm_model" not in (run_params.get("load_versions") or {})


def registry_of(catalog: Any) -> Registry:
    """The registry of the model versions in a catalog."""
    return Registry(Path(catalog["timellm_model"]._filepath).parent)


def find_champion(run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> Champion | None:
    """The champion that a run forecasts with, or None."""
    return registry_of(catalog).champion() if selects_model(run_params, pipeline) else None


def reads_for_model(pipeline: Pipeline) -> bool:
    """Whether a pipeline reads a raw file for a trained model."""
    return any(
        {"raw_series", "timellm_model"} <= set(node.inputs) and "series" in node.outputs for node in pipeline.nodes
    )
