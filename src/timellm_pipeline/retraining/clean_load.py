"""Load a saved model in a separate process and forecast windows from a file, as a server would.

    python -m timellm_pipeline.retraining.clean_load MODEL FOLDER CACHE BACKBONE

FOLDER contains the windows (`write_windows`). The forecasts [windows, pred_len] are written to `forecasts.npy`.
"""

import json
import sys
from pathlib import Path

import numpy as np

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.batches import ArrayWindows
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.parameters import BackboneParams
from timellm_pipeline.series.known import KnownValues

ARRAYS, TEXTS = "windows.npz", "windows.json"


def write_windows(windows: ArrayWindows, folder: Path) -> None:
    """Write windows to files of a folder."""
    known = windows.columns
    values = np.zeros(0) if known is None else known.values
    np.savez(folder / ARRAYS, inputs=windows.inputs, number=windows.number, known=values)
    texts = {"names": windows.names, "texts": windows.texts, "known": known and known.names}
    (folder / TEXTS).write_text(json.dumps(texts), encoding="utf-8")


def read_windows(folder: Path) -> ArrayWindows:
    """The windows in a folder."""
    texts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
    with np.load(folder / ARRAYS) as arrays:
        known = texts["known"] and KnownValues(tuple(texts["known"]), arrays["known"])
        return ArrayWindows(arrays["inputs"], tuple(texts["names"]), arrays["number"], tuple(texts["texts"]), known)


def main(model: str, folder: str, cache: str, backbone: str) -> None:
    """Load the model, forecast the windows, and write the forecasts."""
    saved = SavedModel.read(Path(model))
    compute = compute_as_trained(saved.config.precision)
    loaded = TimeLLM.from_saved(saved, BackboneSource(Path(cache)), compute, BackboneParams(name=backbone))
    windows = read_windows(Path(folder))
    np.save(Path(folder) / "forecasts.npy", loaded.forecast_all(windows, len(windows)))


if __name__ == "__main__":
    main(*sys.argv[1:])
