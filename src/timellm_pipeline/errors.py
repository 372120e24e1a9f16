"""Errors for people: what is wrong, where, and what to do about it.

Everything that a user can mend is raised as a `UserError`. The command line prints its three lines and leaves
with status 1; the traceback goes to the log file. A mistake of our own stays an ordinary exception with its
traceback, because there the reader is us.
"""


class UserError(Exception):
    """Something the user can mend.

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
        return f"{self.what}\n  where: {self.where}\n  do:    {self.do}"


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
    """A saved model is torn, foreign, or does not fit the data beside it."""


class TrainingError(UserError):
    """Training cannot go on."""


class RefusedError(UserError):
    """A candidate did not pass its gates. The run itself went well: the command ends with status 3."""

    status = 3


def find_user_error(error: BaseException | None) -> UserError | None:
    """The first `UserError` in a chain of causes: Kedro wraps what a dataset raises into its own error."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None
