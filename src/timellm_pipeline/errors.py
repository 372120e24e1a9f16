"""Error classes. Each message has three parts: what is wrong, where, and what to do.

Every error that a user can fix is raised as a `UserError`. The command line prints its three lines and exits with
status 1; the traceback goes to the log file. A bug in our code remains an ordinary exception with its traceback.
`diagnosis.py` converts errors raised by the disk, the environment or Kedro into a `UserError`.
"""

from unicodedata import category

JOINERS = "\u200c\u200d"  # zero-width joiners: emoji and scripts such as Persian need them


class UserError(Exception):
    """An error that the user can fix.

    Args:
        what: the problem, with the value that was found.
        where: the location: file, row and column, or parameter.
        do: the next action, as a command or a value where possible.
    """

    status = 1  # exit status of the command

    def __init__(self, what: str, *, where: str, do: str) -> None:
        super().__init__(what, where, do)
        self.what, self.where, self.do = what, where, do

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> tuple[str, str, str]:
        """The message as exactly three lines: names and values from files cannot add a line or a terminal code."""
        what, where, do = (escape(part) for part in (self.what, self.where, self.do))
        return what, f"  where: {where}", f"  do:    {do}"


class EnvironmentalError(UserError):
    """The disk, the memory, the configuration or the command line does not allow the operation."""


class StorageError(UserError):
    """A result cannot be written, read or found."""


class ParameterError(UserError):
    """A parameter is unknown, out of range, or contradicts another one."""


class SeriesError(UserError):
    """The raw series cannot be used without changes."""


class BackboneError(UserError):
    """The backbone is missing or incomplete, or does not support the operation."""


class PromptError(UserError):
    """The prompt cannot be built, or does not fit the backbone."""


class CheckpointError(UserError):
    """A checkpoint cannot be written or read, or fails verification."""


class ModelError(UserError):
    """A saved model is damaged, was not written by this package, or does not match its data."""


class TrainingError(UserError):
    """Training cannot continue."""


class RefusedError(UserError):
    """A candidate failed a gate. The run itself succeeded: the command exits with status 3."""

    status = 3


def find_user_error(error: BaseException | None) -> UserError | None:
    """The first `UserError` in a chain of causes, or None. Kedro wraps an error of a dataset in its own error."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__
    return None


def escape(text: object) -> str:
    """Text as one line that is safe to print: control, format and line-separator characters become `\\x1b`, `\\n`."""
    return "".join(
        char
        if char.isprintable() or char in JOINERS or category(char) == "Zs"
        else char.encode("unicode_escape").decode()
        for char in str(text)
    )


def shown(text: object, max_length: int = 80) -> str:
    """A column name or cell of a file as one line that is safe to print, cut at `max_length` characters."""
    line = escape(str(text)[: max_length + 1])
    return line if len(line) <= max_length else f"{line[: max_length - 1]}…"
