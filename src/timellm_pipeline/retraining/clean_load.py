"""Load a saved model in a separate process and forecast windows from a file, as a server would.

    python -m timellm_pipeline.retraining.clean_load MODEL FOLDER CACHE BACKBONE

FOLDER contains the windows (`write_windows`). The forecasts [windows, pred_len] are written to `forecasts.npy`.
"""

import sys
from pathlib import Path

import numpy as np

from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.model.compute import compute_as_trained
from timellm_pipeline.model.saved import SavedModel
from timellm_pipeline.model.timellm import TimeLLM
from timellm_pipeline.model.window_files import read_windows
from timellm_pipeline.parameters import BackboneParams


def main(model: str, folder: str, cache: str, backbone: str) -> None:
    """Load the model, forecast the windows, and write the forecasts."""
    saved = SavedModel.read(Path(model))
    compute = compute_as_trained(saved.config.precision)
    loaded = TimeLLM.from_saved(saved, BackboneSource(Path(cache)), compute, BackboneParams(name=backbone))
    windows = read_windows(Path(folder))
    np.save(Path(folder) / "forecasts.npy", loaded.forecast_all(windows, len(windows)))


if __name__ == "__main__":
    main(*sys.argv[1:])
