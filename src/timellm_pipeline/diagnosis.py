"""Convert errors of the disk, the memory, the configuration or the command line into a `UserError`.

A bug in our code must keep its traceback, so not every exception is converted. The user can fix an error in two cases:
its class shows it (an OSError, a YAML error, an out-of-memory error), or it was raised inside Kedro or OmegaConf
while none of our modules except the entry points was running.
"""

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from timellm_pipeline.errors import EnvironmentalError, UserError, find_user_error

PACKAGE = __name__.partition(".")[0]
ENTRY_POINTS = {"cli.py", "console.py", "__main__.py", "watch.py", "dagster_schedule.py", "diagnosis.py"}
CONFIGURATION = ("yaml", "omegaconf", "antlr4", "kedro", "click", "tomllib", "toml", "dynaconf")
DAMAGED = {"safetensors.SafetensorError", "_pickle.UnpicklingError", "zipfile.BadZipFile", "tarfile.ReadError"}
MEMORY = ("torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError", "numpy._core._exceptions._ArrayMemoryError")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP}
LOG = "the traceback is in logs/timellm.log of the project"


def diagnose(error: BaseException) -> UserError | None:
    """The `UserError` for an error, or None for a bug in our code."""
    known = find_user_error(error)
    if known is not None:
        return known
    while error.__cause__ is not None and type(error).__name__ == "DatasetError":  # wraps the dataset's error
        error = error.__cause__
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, OSError):
        return _system_error(error)
    if isinstance(error, MemoryError) or kind in MEMORY:
        return EnvironmentalError(
            f"out of memory: {_first_line(error)}",
            where=_location(error),
            do="use a smaller file, fewer channels or a smaller batch_size, or a machine with more memory",
        )
    if kind in DAMAGED:
        return EnvironmentalError(
            f"a file is damaged: {_first_line(error)}", where=_location(error), do=f"restore the file; {LOG}"
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
    """Raise an error that a user can fix as a `UserError`, also in a notebook. Bugs pass unchanged."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        known = diagnose(error)
        if known is None:
            raise
        raise known from error


def _system_error(error: OSError) -> EnvironmentalError:
    place = " -> ".join(str(name) for name in (error.filename, error.filename2) if name) or _location(error)
    if error.errno in FULL:
        do = "free space on that drive, then run the same command again: complete results are kept"
    elif error.errno in REFUSED:
        do = "choose a writable folder (--params data_root=PATH), or change its permissions"
    elif error.errno in IN_THE_WAY:
        do = "a file or folder blocks this path: move it, or choose another folder (--params data_root=PATH)"
    else:
        do = f"check that the path exists and its drive is mounted, then run the same command again; {LOG}"
    return EnvironmentalError(f"{error.strerror or _first_line(error)}", where=place, do=do)


def _raised_by_configuration(error: BaseException) -> bool:
    """Whether Kedro or OmegaConf raised this error because of their input, not because of our code.

    `kedro/config` and `kedro/framework` read configuration and the command line, whichever module calls them.
    """
    files = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(error.__traceback__)]
    packages = [(_package(file), file) for file in files]
    own_files = [
        file for package, file in packages if package == PACKAGE and file.rpartition("/")[2] not in ENTRY_POINTS
    ]
    configuration_frames = [number for number, (package, _) in enumerate(packages) if package in CONFIGURATION]
    if not configuration_frames:
        return False
    if not own_files:
        return True
    last_own_frame = max(number for number, (_, file) in enumerate(packages) if file in own_files)
    read_by_kedro = any("/kedro/config/" in file for file in files[last_own_frame + 1 :])
    return read_by_kedro or any(package == "omegaconf" for package, _ in packages[last_own_frame + 1 :])


def _package(file: str) -> str:
    """Top-level package of a source file, or an empty string."""
    for root in ("/site-packages/", "/src/"):
        if root in file:
            return file.rpartition(root)[2].partition("/")[0].removesuffix(".py")
    return PACKAGE if f"/{PACKAGE}/" in file else ""


def _location(error: BaseException) -> str:
    """The innermost function of this package that was running, or the command."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _package(frame.filename) == PACKAGE]
    return f"while `{frames[-1].name}` was running" if frames else "the command"


def _advice(error: BaseException) -> str:
    text = str(error)
    if type(error).__module__.startswith("yaml"):
        return "correct the YAML; in --params, quote a value that starts with a special character: 'name=\"@x\"'"
    if "pipeline" in text and "name" in text:
        return "run `kedro registry list` for the names of the pipelines"
    return f"correct the value that the message names; {LOG}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return " ".join(lines[:3]) if lines else type(error).__name__
