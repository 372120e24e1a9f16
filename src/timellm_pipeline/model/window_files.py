"""Windows as files, for a process that forecasts them: arrays and JSON, written in blocks and read as a memory map."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from timellm_pipeline.model.array_windows import ArrayWindows, in_order
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.sources import SeriesWindows

INPUTS, NUMBERS, KNOWN, TEXTS = "inputs.npy", "numbers.npy", "known.npy", "texts.json"
BLOCK = 10_000  # windows in memory at once


def write_windows(windows: SeriesWindows, folder: Path) -> None:
    """Write the inputs of windows, with texts and known columns, to files of a folder."""
    texts: list[str] = []
    arrays: dict[str, np.memmap] = {}
    columns: tuple[str, ...] | None = None
    for which in in_order(len(windows), BLOCK):
        known = windows.known(which)
        columns = None if known is None else known.names
        blocks = {INPUTS: windows.gather(which)[0], NUMBERS: windows.channel(which)}
        if known is not None:
            blocks[KNOWN] = known.values
        for name, block in blocks.items():
            if name not in arrays:
                shape = (len(windows), *block.shape[1:])
                arrays[name] = new_array(folder / name, block.dtype, shape)
            arrays[name][which[0] : which[-1] + 1] = block
        texts += windows.facts(which)
    for array in arrays.values():
        array.flush()
    facts = {"names": windows.names, "texts": texts, "known": columns}
    (folder / TEXTS).write_text(json.dumps(facts), encoding="utf-8")


def new_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A new mapped array. Raises OSError on a full drive, where writing to a sparse file would end the process."""
    array = np.lib.format.open_memmap(path, "w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def read_windows(folder: Path) -> ArrayWindows:
    """The windows in a folder."""
    facts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
    inputs, number = (np.load(folder / name, mmap_mode="r") for name in (INPUTS, NUMBERS))
    known = facts["known"] and KnownValues(tuple(facts["known"]), np.load(folder / KNOWN, mmap_mode="r"))
    return ArrayWindows(inputs, tuple(facts["names"]), number, tuple(facts["texts"]), known)
