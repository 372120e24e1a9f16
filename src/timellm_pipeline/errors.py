"""Errors for people: what is wrong, where, and what to do about it.

Everything that a user can fix is raised as a `UserError`. The command line prints its three lines and exits with
status 1; the traceback goes to the log file. A bug in our code stays an ordinary exception with its traceback.
`diagnosis.py` turns what the disk, the environment or Kedro raise into a `UserError`.
"""

from unicodedata import category

JOINERS = "\u200c\u200d"  # scripts such as Persian, and emoji, are written with them


class UserError(Exception):
    """Something the user can fix.

    Args:
        what: the fact, with the value that was found.
        where: the place: file, row and column, or parameter.
        do: the next thing to do, as a command or a value where there is one.
    """

    status = 1  # of the command that ends with it

    def __init__(self, what: str, *, where: str, do: str) -> None:
        super().__init__(what, where, do)
        self.what, self.where, self.do = what, where, do

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> tuple[str, str, str]:
        """Exactly three lines: names and values from files cannot add a line or a terminal code."""
        what, where, do = (escape(part) for part in (self.what, self.where, self.do))
        return what, f"  where: {where}", f"  do:    {do}"


class EnvironmentalError(UserError):
    """The disk, the memory, the configuration or the command line cannot do what is asked of it."""


class StorageError(UserError):
    """A result cannot be written, read or found."""


class ParameterError(UserError):
    """A parameter is unknown, out of range, or contradicts another one."""


class SeriesError(UserError):
    """The raw series cannot be used as it is."""


class BackboneError(UserError):
    """The backbone is missing, incomplete, or cannot do what is asked of it."""


class PromptError(UserError):
    """The prompt cannot be made, or does not fit the backbone."""


class CheckpointError(UserError):
    """A checkpoint cannot be written, read or trusted."""


class ModelError(UserError):
    """A saved model is damaged, foreign, or does not fit the data beside it."""


class TrainingError(UserError):
    """Training cannot continue."""


class RefusedError(UserError):
    """A candidate did not pass its gates. The run itself went well: the command ends with status 3."""

    status = 3


def find_user_error(error: BaseException | None) -> UserError | None:
    """The first `UserError` in a chain of causes: Kedro wraps what a dataset raises into its own error."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__
    return None


def escape(text: object) -> str:
    """Text as one line that is safe to print: control, format and line-separator characters become `\\x1b`, `\\n`."""
    return "".join(
        one if one.isprintable() or one in JOINERS or category(one) == "Zs" else one.encode("unicode_escape").decode()
        for one in str(text)
    )


def shown(text: object, most: int = 80) -> str:
    """A column name or cell of a file as one line that is safe to print, cut at `most` characters."""
    line = escape(str(text)[: most + 1])
    return line if len(line) <= most else f"{line[: most - 1]}…"
