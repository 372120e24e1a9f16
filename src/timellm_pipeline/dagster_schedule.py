"""Scheduled retraining with Dagster (the extra `[orchestration]`): one op retrains, then forecasts with the champion.

    make dagster            # http://127.0.0.1:3000, loopback only, telemetry off, one run at a time

Environment variables: TIMELLM_CRON (default `0 3 * * 1`, Mondays at 03:00), TIMELLM_TIMEZONE (default UTC), TIMELLM_ENV
(a Kedro environment), TIMELLM_PARAMS (JSON, the parameters of `--params`), TIMELLM_PROJECT (the project's folder).
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import dagster as dg

from timellm_pipeline.errors import UserError, escape
from timellm_pipeline.overrides import FROM_THE_MODEL, NOT_OF_THE_MODEL

PROJECT = Path(os.environ.get("TIMELLM_PROJECT", Path.cwd()))


class RetrainConfig(dg.Config):
    """Configuration of a run: the Kedro environment and the runtime parameters."""

    env: str = os.environ.get("TIMELLM_ENV", "base")
    params: dict[str, Any] = json.loads(os.environ.get("TIMELLM_PARAMS", "{}"))


# A retry runs the same commands again: training resumes from the newest checkpoint, and finished work is not repeated.
@dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=30))
def retrain(context: dg.OpExecutionContext, config: RetrainConfig) -> dg.Output[str]:
    """Retrain, then forecast with the champion. A refused candidate is a decision, not a failure."""
    catalog, refusal = run_pipeline("retrain", config.env, config.params)
    if refusal is not None:
        context.log.warning("%s", refusal)
    report = catalog["retrain_report"].load()
    catalog, no_champion = run_pipeline("forecast", config.env, params_of_forecast(config.params))
    metadata: dict[str, Any] = {"forecast rows": 0}
    if no_champion is None:
        forecast = catalog["forecast"].load()
        metadata = {"forecast rows": len(forecast), "forecast until": str(forecast["timestamp"].max())}
    return dg.Output(report["decision"], metadata=report_metadata(report) | metadata)


def params_of_forecast(params: dict[str, Any]) -> dict[str, Any]:
    """Runtime parameters without settings of the next training: the champion has its own, and they may differ.

    The location of a backbone (its name and revisions) is kept.
    """
    kept = {name: value for name, value in params.items() if name.split(".")[0] not in FROM_THE_MODEL}
    kept |= {name: params[name] for name in NOT_OF_THE_MODEL if name in params}
    nested = params.get("backbone") or {}
    place = {key: value for key, value in nested.items() if f"backbone.{key}" in NOT_OF_THE_MODEL}
    return kept | ({"backbone": place} if place else {})


def run_pipeline(pipeline: str, env: str, params: dict[str, Any]) -> tuple[Any, UserError | None]:
    """Run a pipeline in a session of its own. Returns the catalog, and the refusal of a candidate if there was one.

    Raises dagster's Failure, with its three lines, for an error that a user can fix.
    """
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from timellm_pipeline.diagnosis import diagnose

    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env=env, runtime_params=params) as session:
        catalog = session.load_context().catalog
        try:
            session.run(pipeline_names=[pipeline])
        except Exception as error:
            user_error = diagnose(error)
            if user_error is None:
                raise
            if user_error.status != 3:
                raise dg.Failure("\n".join(user_error.lines())) from error
            return catalog, user_error
    return catalog, None


def report_metadata(report: dict[str, Any]) -> dict[str, Any]:
    """Metadata for the page of the run: the decision, the test MSE of each model, the gates as a table."""
    marks = {True: "passed", False: "**refused**", None: "-"}
    rows = [
        f"| {marks[gate['passed']]} | " + " | ".join(_cell(gate[key]) for key in ("gate", "found", "limit")) + " |"
        for gate in report["gates"]
    ]
    test = ((report["candidate"] or {}).get("test") or {}).items()
    return {
        "decision": report["decision"],
        "reason": report["reason"],
        "newest row": report["newest_row"],
        "steps run": report["steps_run"],
        **{f"test MSE {name}": float(errors["mse"]) for name, errors in test},
        "gates": dg.MetadataValue.md("\n".join(["| | gate | found | limit |", "|---|---|---|---|", *rows])),
    }


def _cell(text: object) -> str:
    """Text escaped for a cell of a Markdown table: a channel's name cannot add a cell, a link or HTML."""
    return re.sub(r"([\\`*_\[\]|<>])", r"\\\1", escape(text))


@dg.job(tags={"device": "gpu"})
def retraining() -> None:
    """Train a candidate on the newest data, promote or refuse it, and forecast with the champion."""
    retrain()


weekly = dg.ScheduleDefinition(
    job=retraining,
    cron_schedule=os.environ.get("TIMELLM_CRON", "0 3 * * 1"),
    execution_timezone=os.environ.get("TIMELLM_TIMEZONE", "UTC"),
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.sensor(job=retraining, minimum_interval_seconds=60)
def new_file(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Request a run when the content of the raw file changes. Off by default: the schedule is the usual trigger."""
    path = Path(json.loads(os.environ.get("TIMELLM_PARAMS", "{}")).get("raw_csv", PROJECT / "data/01_raw/series.csv"))
    if not path.is_file():
        return dg.SensorResult(skip_reason=f"{path} does not exist")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest == context.cursor:
        return dg.SensorResult(skip_reason="the file has not changed")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=digest)], cursor=digest)


defs = dg.Definitions(jobs=[retraining], schedules=[weekly], sensors=[new_file])
