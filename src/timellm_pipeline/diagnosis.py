"""What a disk, the memory, the configuration or the command line can cause, as a `UserError`.

A bug in our code must keep its traceback, so nothing is caught wholesale. An error counts as the user's in two cases:
its class says so (an OSError, a YAML error, an out-of-memory error), or it was raised inside Kedro or OmegaConf
while none of our modules but the entry points was running.
"""

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from timellm_pipeline.errors import EnvironmentalError, UserError, find_user_error

PACKAGE = __name__.partition(".")[0]
ENTRY_POINTS = {"cli.py", "__main__.py", "watch.py", "dagster_schedule.py", "diagnosis.py"}
CONFIGURATION = ("yaml", "omegaconf", "antlr4", "kedro", "click", "tomllib", "toml", "dynaconf")
DAMAGED = {"safetensors.SafetensorError", "_pickle.UnpicklingError", "zipfile.BadZipFile", "tarfile.ReadError"}
MEMORY = ("torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError", "numpy._core._exceptions._ArrayMemoryError")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP}
LOG = "logs/timellm.log of the project has the traceback"


def diagnose(error: BaseException) -> UserError | None:
    """The error in three lines, or None for a bug in our code."""
    known = find_user_error(error)
    if known is not None:
        return known
    while error.__cause__ is not None and type(error).__name__ == "DatasetError":  # wraps what a dataset raises
        error = error.__cause__
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, MemoryError) or kind in MEMORY:
        return EnvironmentalError(
            f"out of memory: {_first_line(error)}",
            where=_our_place(error),
            do="give a smaller file, fewer channels or a smaller batch_size, or use a machine with more memory",
        )
    if kind in DAMAGED:
        return EnvironmentalError(
            f"a file is damaged: {_first_line(error)}", where=_our_place(error), do=f"restore the file; {LOG}"
        )
    if kind.partition(".")[0] in CONFIGURATION or _raised_by_configuration(error):
        return EnvironmentalError(
            _first_line(error),
            where="the command line, or the configuration in conf/",
            do=_advice(error),
        )
    return None


@contextmanager
def diagnosed() -> Iterator[None]:
    """Raise what a user can fix as a `UserError`, also in a notebook. Bugs pass unchanged."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        known = diagnose(error)
        if known is None:
            raise
        raise known from error


def _of_the_system(error: OSError) -> EnvironmentalError:
    place = " -> ".join(str(name) for name in (error.filename, error.filename2) if name) or _our_place(error)
    if error.errno in FULL:
        do = "free space on that drive, then run the same command again: what is complete stays"
    elif error.errno in REFUSED:
        do = "choose a folder that can be written (--params data_root=PATH), or change its permissions"
    elif error.errno in IN_THE_WAY:
        do = "a file or folder is in the way: move it, or choose another folder (--params data_root=PATH)"
    else:
        do = f"check that the path and its drive are there, then run the same command again; {LOG}"
    return EnvironmentalError(f"{error.strerror or _first_line(error)}", where=place, do=do)


def _raised_by_configuration(error: BaseException) -> bool:
    """Whether Kedro or OmegaConf raised this on their own, from what they were given.

    `kedro/config` and `kedro/framework` read configuration and the command line, whoever calls them.
    """
    files = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(error.__traceback__)]
    packages = [(_package(file), file) for file in files]
    ours = [file for package, file in packages if package == PACKAGE and file.rpartition("/")[2] not in ENTRY_POINTS]
    theirs = [number for number, (package, _) in enumerate(packages) if package in CONFIGURATION]
    if not theirs:
        return False
    if not ours:
        return True
    last_of_ours = max(number for number, (_, file) in enumerate(packages) if file in ours)
    reader = any("/kedro/config/" in file for file in files[last_of_ours + 1 :])
    return reader or any(package == "omegaconf" for package, _ in packages[last_of_ours + 1 :])


def _package(file: str) -> str:
    """Top-level package of a source file."""
    for root in ("/site-packages/", "/src/"):
        if root in file:
            return file.rpartition(root)[2].partition("/")[0].removesuffix(".py")
    return PACKAGE if f"/{PACKAGE}/" in file else ""


def _our_place(error: BaseException) -> str:
    """The function of ours in which it happened."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _package(frame.filename) == PACKAGE]
    return f"while `{frames[-1].name}` was running" if frames else "the command"


def _advice(error: BaseException) -> str:
    text = str(error)
    if type(error).__module__.startswith("yaml"):
        return "correct the YAML; in --params, quote a value that starts with a special character: 'name=\"@x\"'"
    if "pipeline" in text and "name" in text:
        return "run `kedro registry list` for the names of the pipelines"
    return f"correct what it names; {LOG}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return " ".join(lines[:3]) if lines else type(error).__name__
