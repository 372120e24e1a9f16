"""`kedro run` for people: an error that a user can fix is three lines and status 1. The log file has its traceback."""

import io
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS

from timellm_pipeline.diagnosis import diagnose

log = logging.getLogger(__name__)


class PoliteCommand(click.Command):
    """Runs a command and turns what a user can fix into three lines, and a signal into its exit status."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the command line; `--params` and `--config` hold YAML."""
        with three_lines():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        # The short form is the one that people type; Kedro 1.7 deprecates it in favour of --pipelines.
        warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # one in a file or a pipe may have no Chinese
                stream.reconfigure(errors="backslashreplace")
        quiet = _HideKedrosPage()
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(quiet)
        with three_lines():
            return super().invoke(ctx)


@contextmanager
def three_lines() -> Iterator[None]:
    """Print what a user can fix and exit with its status. A bug keeps its traceback."""
    try:
        yield
    except (click.UsageError, click.exceptions.Exit, click.Abort):  # click prints the usage, with status 2
        raise
    except Exception as error:
        _write_to_log_file(error)
        mistake = diagnose(error)
        if mistake is None:
            raise
        what, *rest = mistake.lines()
        _print(click.style(f"Error: {what}", fg="red"))
        for line in rest:
            _print(line)
        sys.exit(mistake.status)
    except BaseException as stopped:
        if isinstance(stopped, KeyboardInterrupt):  # a second Ctrl-C, or one outside training
            sys.exit(130)
        status = getattr(stopped, "status", None)  # training's own stop; torch stays unimported here
        if status is None:
            raise
        log.warning("%s", stopped)
        _print(click.style(str(stopped), fg="yellow"))
        sys.exit(status)


class _HideKedrosPage(logging.Filter):
    """Keeps Kedro's own report of a failed node off the console, where the three lines follow."""

    def filter(self, record: logging.LogRecord) -> bool:
        failed_node = record.name == "kedro.pipeline.node" and record.levelno >= logging.ERROR
        resume_hint = record.name.startswith("kedro.runner") and record.levelno == logging.WARNING
        return not (failed_node or resume_hint)


def _write_to_log_file(error: BaseException) -> None:
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, "".join(traceback.format_exception(error)), (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def _print(line: str) -> None:
    try:
        click.echo(line, err=True)
    except OSError:  # the terminal is gone; the exit status is what is left to say
        log.debug("the terminal is closed")


run = PoliteCommand(
    name="run",
    callback=kedro_run.callback,
    params=kedro_run.params,
    help=kedro_run.help or "Run the pipeline.",
)


@click.group(context_settings=CONTEXT_SETTINGS, name=__file__)
def cli() -> None:
    """Commands of the project."""


cli.add_command(run)
