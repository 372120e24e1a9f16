"""Load a saved model in a process of its own and forecast given windows: what a server would do tomorrow.

    python -m timellm_pipeline.model.clean_load MODEL FOLDER CACHE BACKBONE

FOLDER holds `windows.npy` [windows, seq_len] in scaled units and gets `forecasts.npy`.
"""

import sys
from pathlib import Path

import numpy as np

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.future import forecast_windows_of
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.parameters import BackboneParams


def main(model: str, folder: str, cache: str, backbone: str) -> None:
    """Load, forecast, write."""
    saved = SavedModel.read(Path(model))
    compute = compute_as_trained(saved.config.precision)
    loaded = saved.load(BackboneSource(Path(cache)), compute, BackboneParams(name=backbone))
    windows = np.load(Path(folder) / "windows.npy")
    np.save(Path(folder) / "forecasts.npy", forecast_windows_of(loaded, windows, len(windows)))


if __name__ == "__main__":
    main(*sys.argv[1:])
