"""Arrays that do not fit into memory: temporary files that are mapped into it.

Pages of a mapped array that were read count as memory of the process until they are released. The files have no name
where the system allows it, so that nothing is left of a process that ends early.
"""

import mmap
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

ARRAYS = ("values",)  # fields that may be mapped
ROWS = 1 << 20  # rows that are copied at a time
LARGE = 400_000_000  # bytes of an array that is not kept in memory


class Appended:
    """An array that is appended part by part, in a temporary file.

    Args:
        dtype: type of the values.
        folder: folder of the file.
    """

    def __init__(self, dtype: Any, folder: Path) -> None:
        self.dtype, self._file, self._size = np.dtype(dtype), _new_file(folder), 0

    def __enter__(self) -> "Appended":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()  # a mapped array keeps its own handle

    def append(self, values: np.ndarray) -> None:
        """Append the values of an array."""
        self._file.write(np.ascontiguousarray(values, dtype=self.dtype).data)
        self._size += values.size

    def array(self) -> np.ndarray:
        """All values: in memory, or mapped if there are many."""
        self._file.flush()
        if self._size * self.dtype.itemsize > LARGE:
            return np.memmap(self._file, self.dtype, "r+", shape=(self._size,))
        self._file.seek(0)
        return np.frombuffer(bytearray(self._file.read()), self.dtype)


def empty(size: int, dtype: Any, folder: Path | None) -> np.ndarray:
    """A new array, mapped to a temporary file of a folder; in memory without one."""
    if folder is None:
        return np.empty(size, dtype)
    with _new_file(folder) as file:
        return np.memmap(file, np.dtype(dtype), "w+", shape=(size,))


def write_array(values: np.ndarray, path: Path) -> None:
    """Write an array as a new `.npy` file, part by part."""
    target = np.lib.format.open_memmap(path, "w+", dtype=values.dtype, shape=values.shape)
    for first in range(0, len(values), ROWS):
        target[first : first + ROWS] = values[first : first + ROWS]
        release(values)
        release(target)
    target.flush()


def open_array(path: Path) -> np.ndarray:
    """The array of a `.npy` file, mapped read-only. Raises OSError, EOFError or ValueError for a damaged file."""
    array: np.ndarray = np.load(path, mmap_mode="r")
    return array


class PickledByPath:
    """Mix-in of dataclasses whose mapped arrays are pickled as the path of their file, not as a copy of the values.

    Processes that prepare batches receive their data by pickling.
    """

    def __getstate__(self) -> dict[str, Any]:
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.memmap)}
        paths = {name: Path(value.filename) for name, value in arrays.items() if value.filename is not None}
        return {**vars(self), **paths}

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = {
            name: open_array(value) for name, value in state.items() if name in ARRAYS and isinstance(value, Path)
        }
        vars(self).update({**state, **arrays})


def release(values: np.ndarray) -> None:
    """Release the pages of a mapped array, which are read again when they are needed. Other arrays stay as they are."""
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        base.madvise(mmap.MADV_DONTNEED)


def _new_file(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)
