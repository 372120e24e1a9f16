"""The `kedro run` command: an error that a user can fix prints three lines and exits with status 1.

The traceback goes to the log file.
"""

import io
import logging
import sys
import warnings
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS

from timellm_pipeline import telemetry
from timellm_pipeline.console import three_lines

telemetry.switch_off()


class PoliteCommand(click.Command):
    """Runs a command, prints an error that a user can fix as three lines, and exits with its status or the signal's."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the command line. The values of `--params` and `--config` are YAML."""
        with three_lines():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        # `--pipeline` is the option that people use; Kedro 1.7 deprecates it in favour of --pipelines.
        warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # the encoding of a file or pipe may lack Chinese characters
                stream.reconfigure(errors="backslashreplace")
        hide_kedro_errors = _HideKedroErrors()
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(hide_kedro_errors)
        with three_lines():
            return super().invoke(ctx)


class _HideKedroErrors(logging.Filter):
    """Hides Kedro's own report of a failed node on the console, where the three lines follow."""

    def filter(self, record: logging.LogRecord) -> bool:
        failed_node = record.name == "kedro.pipeline.node" and record.levelno >= logging.ERROR
        resume_hint = record.name.startswith("kedro.runner") and record.levelno == logging.WARNING
        return not (failed_node or resume_hint)


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
