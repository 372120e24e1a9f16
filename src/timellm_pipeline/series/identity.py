"""SHA-256 digests of JSON values, files, arrays and data frames."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.series.mapped import release

CHUNK = 1 << 23  # values of an array that are read at a time
SEAL = "seal"  # key of the digest that a JSON file contains of its own content


def digest_of(facts: Any) -> str:
    """sha256 of a JSON-serialisable value, independent of the order of its keys."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with their digest under the key `seal`, to be written as a JSON file."""
    return {**facts, SEAL: digest_of(facts)}


def unsealed(content: Any) -> dict[str, Any]:
    """The facts of a sealed JSON object. Objects without a seal (written by older versions) are accepted.

    Raises ValueError if the content is not an object, or if its digest differs.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it contains a {type(content).__name__}, not an object")
    facts = dict(content)
    seal = facts.pop(SEAL, None)
    if seal is not None and seal != digest_of(facts):
        raise ValueError("its content was changed: the digest differs")
    return facts


def digest_of_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_arrays(*arrays: np.ndarray) -> str:
    """sha256 over the dtypes, shapes and bytes of arrays, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        flat = np.ascontiguousarray(array).reshape(-1)
        for first in range(0, flat.size, CHUNK):
            digest.update(flat[first : first + CHUNK].data)
            release(array)
    return digest.hexdigest()


def digest_of_frame(frame: pd.DataFrame) -> str:
    """sha256 over the column names and values of a data frame, independent of its file."""
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name]
        digest.update(f"{name}\0".encode())
        if isinstance(column.dtype, pd.CategoricalDtype):
            digest.update("\0".join(map(str, column.cat.categories)).encode())
            column = column.cat.codes
        values = column.to_numpy()
        if values.dtype.kind == "M":
            values = values.astype("datetime64[ns]").astype(np.int64)
        assert values.dtype.kind != "O", f"column {name} contains objects, whose bytes are addresses"
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
