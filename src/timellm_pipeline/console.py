"""Error output and exit status of commands: an error that a user can fix prints three lines and exits with status 1.

The Kedro command line and `timellm watch` share this module, so it does not import Kedro.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from timellm_pipeline.diagnosis import diagnose

log = logging.getLogger(__name__)


@contextmanager
def three_lines() -> Iterator[None]:
    """Print an error that a user can fix as three lines and exit with its status. A bug keeps its traceback."""
    try:
        yield
    except (click.UsageError, click.exceptions.Exit, click.Abort):  # click prints the usage, with status 2
        raise
    except Exception as error:
        _write_to_log_file(error)
        user_error = diagnose(error)
        if user_error is None:
            raise
        message, *details = user_error.lines()
        _print(click.style(f"Error: {message}", fg="red"))
        for line in details:
            _print(line)
        sys.exit(user_error.status)
    except BaseException as interruption:
        if isinstance(interruption, KeyboardInterrupt):  # a second Ctrl-C, or one outside training
            sys.exit(130)
        status = getattr(interruption, "status", None)  # StoppedBySignal, without its import
        if status is None:
            raise
        log.warning("%s", interruption)
        _print(click.style(str(interruption), fg="yellow"))
        sys.exit(status)


def _write_to_log_file(error: BaseException) -> None:
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, "".join(traceback.format_exception(error)), (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def _print(line: str) -> None:
    try:
        click.echo(line, err=True)
    except OSError:  # the terminal is closed; the exit status still reports the failure
        log.debug("the terminal is closed")
