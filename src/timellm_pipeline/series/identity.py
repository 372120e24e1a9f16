"""Digests that tell whether two things are the same."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from timellm_pipeline.parameters import EvaluationParams, WindowParams
from timellm_pipeline.series.borders import Borders

SEAL = "seal"  # key of a JSON file's own digest


def digest_of(facts: Any) -> str:
    """sha256 of a JSON-able value, the same whatever order its keys were written in."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts with the digest of themselves beside them, for a JSON file of ours."""
    return {**facts, SEAL: digest_of(facts)}


def unsealed(content: Any) -> dict[str, Any]:
    """The facts of a sealed JSON object. Files written before there were seals have none and pass.

    Raises ValueError when it is not an object, or not the one that was written.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not an object")
    facts = dict(content)
    seal = facts.pop(SEAL, None)
    if seal is not None and seal != digest_of(facts):
        raise ValueError("it is not what was written: its digest differs")
    return facts


def digest_of_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_frame(frame: pd.DataFrame) -> str:
    """sha256 over a frame's column names and values, whatever file it came from."""
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
        assert values.dtype.kind != "O", f"column {name} holds objects, whose bytes are addresses"
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def data_identity(series: pd.DataFrame, borders: Borders, window: WindowParams, evaluation: EvaluationParams) -> str:
    """The data id: one name for everything that scaler, scaled values and window index are made from.

    It is known before they are, so that each of them carries it, and data sets of two runs are never mixed.
    """
    return digest_of(
        {
            "series": digest_of_frame(series),
            "gaps": series.attrs.get("gaps", []),
            "borders": borders.model_dump(),
            "window": window.model_dump(include={"seq_len", "pred_len", "window_step", "features", "target"}),
            "evaluation": evaluation.model_dump(include={"validation_step", "test_step"}),
        }
    )
