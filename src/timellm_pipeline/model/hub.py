"""Backbones from the Hugging Face hub: pinned commits, and their files in the local hub cache."""

import re
from pathlib import Path
from typing import Any

from timellm_pipeline.errors import BackboneError
from timellm_pipeline.parameters import BackboneParams

IDENTIFYING = ("*.safetensors", "tokenizer.json", "config.json")  # files that identify a backbone
COMMIT = re.compile(r"^[0-9a-f]{40}$")


def pinned_revision(params: BackboneParams) -> str:
    """Pinned commit of a hub id. Raises BackboneError if the hub id is not pinned to a full commit hash."""
    revision = params.revisions.get(params.name)
    if revision is None or not COMMIT.match(revision):
        found = "no revision" if revision is None else f"the revision {revision!r}, which is not a full commit hash"
        raise BackboneError(
            f"the hub id `{params.name}` has {found}",
            where="backbone.revisions",
            do=f"add `{params.name}: <40-digit commit>` (on the hub: Files, History), or use a local folder",
        )
    return revision


def hub_snapshot(params: BackboneParams, download: bool) -> Path | None:
    """Folder of a pinned hub id in the local hub cache, or None if its files are not there.

    Args:
        download: whether missing files are downloaded.

    Raises BackboneError without a pinned commit, and the errors of the hub library when a download fails.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted: dict[str, Any] = {"revision": pinned_revision(params), "allow_patterns": list(IDENTIFYING)}
    try:
        found = Path(snapshot_download(params.name, local_files_only=True, **wanted))
        if any(found.glob("*.safetensors")):  # the folder may contain config and tokenizer alone
            return found
    except LocalEntryNotFoundError:
        pass
    return Path(snapshot_download(params.name, **wanted)) if download else None
