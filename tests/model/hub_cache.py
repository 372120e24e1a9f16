"""A cache of the Hugging Face hub with one backbone in it, as a download leaves it."""

import shutil
from pathlib import Path

import pytest

from timellm_pipeline.parameters import BackboneParams

NAME, COMMIT = "some-org/some-model", "c0ffee" + "0" * 34


def fill_hub_cache(cache: Path, files: Path | None, monkeypatch: pytest.MonkeyPatch) -> BackboneParams:
    """Make the hub use this cache, and put a backbone's files there. Returns the parameters that name it.

    Args:
        files: folder of the backbone; None: the cache is used as it is.
    """
    from huggingface_hub import constants

    snapshot = cache / f"models--{NAME.replace('/', '--')}" / "snapshots" / COMMIT
    if files is not None:
        shutil.copytree(files, snapshot)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))  # it is read from the environment at import
    return BackboneParams(name=NAME, revisions={NAME: COMMIT})
