"""Catalog entries that hand out a tool instead of data: the backbone, the checkpoint store, the run's own facts."""

import platform
import subprocess
from importlib.metadata import version as version_of
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset, AbstractVersionedDataset, Version

from timellm_pipeline.datasets.whole import checked_keep_versions
from timellm_pipeline.errors import CheckpointError
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.retraining.registry import Registry
from timellm_pipeline.training.checkpoint import CheckpointStore

PACKAGES = (
    "kedro",
    "torch",
    "transformers",
    "accelerate",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "safetensors",
)


class BackboneDataset(AbstractDataset[None, BackboneSource]):
    """The source of frozen language models. Loading the entry loads no weights.

    Args:
        cache: folder for unpacked weights; null: the user's cache folder.
        metadata: for kedro-viz.
    """

    def __init__(self, *, cache: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        self.cache, self.metadata = cache, metadata

    def load(self) -> BackboneSource:
        """A source that says what a backbone is and loads it on demand."""
        return BackboneSource(Path(self.cache)) if self.cache else BackboneSource()

    def save(self, data: None) -> None:
        """Refused: backbones are never written here."""
        raise NotImplementedError("a backbone is frozen")

    def _describe(self) -> dict[str, Any]:
        return {"cache": self.cache}


class CheckpointStoreDataset(AbstractDataset[None, CheckpointStore]):
    """The store of step checkpoints, an input of training: training reads and writes it while it runs.

    Args:
        filepath: the root folder of all runs' checkpoints.
        on_a_drive: the folder around it must be there already. A drive that is not mounted would else be a folder on
            a disk that goes with the machine, and every checkpoint with it.
        metadata: for kedro-viz.
    """

    def __init__(self, *, filepath: str, on_a_drive: bool = False, metadata: dict[str, Any] | None = None) -> None:
        self.root, self.on_a_drive, self.metadata = Path(filepath), on_a_drive, metadata

    def load(self) -> CheckpointStore:
        """The store. Raises CheckpointError for a drive that is not mounted."""
        if self.on_a_drive and not self.root.parent.is_dir():
            raise CheckpointError(
                f"the drive for checkpoints is not mounted: there is no folder {self.root.parent}",
                where="step_checkpoints of conf/colab/catalog.yml",
                do="mount it first, or say where they go: --params checkpoint_root=PATH",
            )
        return CheckpointStore(self.root)

    def save(self, data: None) -> None:
        """Refused: training saves through the store."""
        raise NotImplementedError("checkpoints are saved by training, through the store")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.root)}


class RegistryDataset(AbstractDataset[None, Registry]):
    """The registry of champions, an input of retraining, which moves its pointer.

    Args:
        filepath: the folder that holds the pointer, the decisions and the model versions.
        keep_versions: newest model versions that stay after a retraining, besides the champion and the one before it;
            null keeps all.
        metadata: for kedro-viz.
    """

    def __init__(
        self, *, filepath: str, keep_versions: int | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self.root, self.keep_versions = Path(filepath), checked_keep_versions(keep_versions)
        self.metadata = metadata

    def load(self) -> Registry:
        """The registry."""
        return Registry(self.root, self.keep_versions)

    def save(self, data: None) -> None:
        """Refused: decisions are written through the registry."""
        raise NotImplementedError("decisions are written through the registry")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.root)}


class RunContextDataset(AbstractVersionedDataset[None, dict[str, Any]]):
    """Facts of this very run: the version its results get, the git commit, package versions.

    Args:
        filepath: the project's folder, for git.
        version: set by Kedro.
        metadata: for kedro-viz.
    """

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(PurePosixPath(filepath), version or Version(None, None))
        self.metadata = metadata
        self._facts: dict[str, Any] | None = None

    def load(self) -> dict[str, Any]:
        """`version`, `git` (commit and dirty flag, or null), `packages`, `python`, `platform`.

        Found out once, when the first node asks: hours later the checkout may hold another commit.
        """
        self._facts = self._facts or self._find_facts()
        return self._facts

    def _find_facts(self) -> dict[str, Any]:
        return {
            "version": self.resolve_save_version(),
            "git": _git(Path(self._filepath)),
            "packages": {name: version_of(name) for name in PACKAGES},
            "python": platform.python_version(),
            "platform": platform.platform(),
        }

    def save(self, data: None) -> None:
        """Refused: these are facts."""
        raise NotImplementedError("the run's facts are read only")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _git(folder: Path) -> dict[str, Any] | None:
    try:
        commit, status = (
            subprocess.run(
                ["git", *words],
                cwd=folder,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=True,
                timeout=20,
            ).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):  # no git, or no repository
        return None
    return {"commit": commit.strip(), "dirty": bool(status.strip())}
