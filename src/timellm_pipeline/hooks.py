"""Hooks: a log file, all parameters checked before anything runs, and one process only."""

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, Version
from kedro.pipeline import Pipeline
from omegaconf import OmegaConf

from timellm_pipeline.datasets.whole import WholeDataset
from timellm_pipeline.errors import ParameterError, RefusedError, UserError
from timellm_pipeline.logs import escape_in_all_handlers
from timellm_pipeline.parameters import parse_parameters
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.versions import newer_than

log = logging.getLogger(__name__)

LAUNCHERS = ("WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_MIXED_PRECISION")
FROM_THE_MODEL = ("data", "split", "window", "prompt", "model", "backbone")
# Where a backbone lies may change: its identity is checked on load. How large a file may be depends on the machine.
NOT_OF_THE_MODEL = {"backbone.name", "backbone.revisions", "data.max_gigabytes"}


class LogFile:
    """Everything that is logged, tracebacks too, also goes to logs/timellm.log of the project."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Attach the file once, however many sessions this process opens. Without it the run goes on."""
        logging.raiseExceptions = False  # a full disk under the log file must not print tracebacks
        escape_in_all_handlers()
        path = Path(context.project_path) / "logs" / "timellm.log"
        root = logging.getLogger()
        if any(getattr(handler, "baseFilename", None) == str(path) for handler in root.handlers):
            return
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            log.warning("%s cannot be made (%s): there is no log file", path.parent, error.strerror)
            return
        handler = RotatingFileHandler(path, maxBytes=10_000_000, backupCount=3, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        root.addHandler(handler)
        escape_in_all_handlers()


class ParametersFirst:
    """Parameters are parsed as a whole before the catalog is made, so that every mistake is named at once."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, Any]] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Raises ParameterError."""
        loader = context.config_loader
        refuse_placeholders(loader.runtime_params or {})
        parse_parameters(loader["parameters"])
        # Read plainly: a second config loader would answer `${globals:…}` for the first one, with base's values.
        base = OmegaConf.load(Path(loader.conf_source) / loader.base_env / "parameters.yml")
        base_values: Any = OmegaConf.to_container(base)
        self._said = said_otherwise(loader["parameters"], base_values, loader.runtime_params or {})

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """A trained model brings its own settings; an environment or `--params` that says otherwise is an error."""
        if any(node.func.__name__ == "settings_of_model" for node in pipeline.nodes):
            refuse_contradictions(self._said, catalog["timellm_model"].load().config.model_dump(mode="json"))


class MonotoneVersionHook:
    """A run's results are newer than those that are there, also when the clock was set back."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Give every data set of the run the same later version, if its own would not be the newest."""
        datasets = [catalog[name] for name in sorted(pipeline.datasets()) if name in catalog]
        versioned = [one for one in datasets if isinstance(one, AbstractVersionedDataset) and one._version is not None]
        newest = max((one.versions.newest() for one in versioned if isinstance(one, WholeDataset)), default="")
        if not newest:
            return
        wanted = str(versioned[0].resolve_save_version())
        later = newer_than(newest, wanted)
        if later == wanted:
            return
        log.warning("the newest results are of %s, later than the clock says now: this run is %s", newest, later)
        for dataset in versioned:
            dataset._version = Version(dataset._version.load, later)


class UseChampionHook:
    """`forecast` uses the champion where there is one, unless `--load-versions timellm_model:…` names another."""

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


class ExitStatusHook:
    """A refused candidate ends the command with status 3, after its report has been saved."""

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Raises RefusedError."""
        if "retrain_report" not in pipeline.outputs():
            return
        report = catalog["retrain_report"].load()
        if report["decision"] == "refused":
            raise RefusedError(
                f"the candidate was refused: {report['reason']}",
                where="retrain_report",
                do="see docs/retraining.md for what each gate means; the champion stays",
            )


class OneProcess:
    """Under torchrun or `accelerate launch` every process would run the whole pipeline: refused."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Raises UserError."""
        found = [name for name in LAUNCHERS if name in os.environ]
        if found:
            raise UserError(
                "kedro was launched by torchrun or accelerate: each process would run the whole pipeline",
                where=f"environment variable {found[0]}={os.environ[found[0]]}",
                do="start one process: kedro run --pipeline train",
            )


def refuse_placeholders(params: dict[str, Any], path: str = "") -> None:
    """Raises ParameterError for `???`: OmegaConf leaves such a value out without a word."""
    for name, value in params.items():
        if isinstance(value, dict):
            refuse_placeholders(value, f"{path}{name}.")
        elif value == "???":
            raise ParameterError(
                f"`{path}{name}` is '???', which stands for a missing value",
                where="--params or --config",
                do="write the value",
            )


def said_otherwise(whole: dict[str, Any], base: dict[str, Any], runtime: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What somebody said about a trained model's groups: values that differ from conf/base, or stand in `--params`."""
    return {
        group: {
            key: value
            for key, value in (whole.get(group) or {}).items()
            if key in (runtime.get(group) or {}) or value != (base.get(group) or {}).get(key)
        }
        for group in FROM_THE_MODEL
    }


def refuse_contradictions(said: dict[str, dict[str, Any]], config: dict[str, Any]) -> None:
    """Raises ParameterError when what is said differs from the model's config, naming both values."""
    wrong = [
        f"{group}.{key} is {value!r} here and {config[group][key]!r} in the model"
        for group, values in said.items()
        for key, value in values.items()
        if config[group][key] != value and f"{group}.{key}" not in NOT_OF_THE_MODEL
    ]
    if wrong:
        raise ParameterError(
            "; ".join(wrong),
            where="--env, --config or --params",
            do="leave it out (a trained model brings its own settings), or train a model with it",
        )
