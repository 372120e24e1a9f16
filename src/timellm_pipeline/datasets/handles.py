"""Catalog entries that load a handle instead of data: the backbone, the checkpoint store, the registry, the run."""

import platform
import subprocess
from importlib.metadata import version as version_of
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset, AbstractVersionedDataset, Version

from timellm_pipeline.datasets.atomic import checked_keep_versions
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
        cache: folder for unpacked weights; null for the user's cache folder.
        metadata: for kedro-viz.
    """

    def __init__(self, *, cache: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        self.cache, self.metadata = cache, metadata

    def load(self) -> BackboneSource:
        """A source that identifies backbones and loads them on demand."""
        return BackboneSource(Path(self.cache)) if self.cache else BackboneSource()

    def save(self, data: None) -> None:
        """Not supported: backbones are never written."""
        raise NotImplementedError("a backbone is frozen")

    def _describe(self) -> dict[str, Any]:
        return {"cache": self.cache}


class CheckpointStoreDataset(AbstractDataset[None, CheckpointStore]):
    """The store of step checkpoints, an input of training, which reads and writes it while it runs.

    Args:
        filepath: the root folder of the checkpoints of all runs.
        on_a_drive: require that the parent folder exists. If the drive is not mounted, checkpoints would otherwise be
            written to the local disk of a machine and be lost with that machine.
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
                do="mount it first, or set another folder: --params checkpoint_root=PATH",
            )
        return CheckpointStore(self.root)

    def save(self, data: None) -> None:
        """Not supported: training saves through the store."""
        raise NotImplementedError("checkpoints are saved by training, through the store")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.root)}


class RegistryDataset(AbstractDataset[None, Registry]):
    """The registry of champions, an input of retraining, which writes its decisions.

    Args:
        filepath: the folder of champion.json, the decision journal and the model versions.
        keep_versions: number of newest model versions kept after a retraining, in addition to the champion and the
            previous champion; null keeps all.
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
        """Not supported: decisions are written through the registry."""
        raise NotImplementedError("decisions are written through the registry")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.root)}


class RunContextDataset(AbstractVersionedDataset[None, dict[str, Any]]):
    """Facts of the current run: the version of its results, the git commit, package versions.

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

        Determined once, when the first node loads it: hours later the checkout may have another commit.
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
        """Not supported: the facts are read only."""
        raise NotImplementedError("the run's facts are read only")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _git(folder: Path) -> dict[str, Any] | None:
    try:
        commit, status = (
            subprocess.run(
                ["git", *arguments],
                cwd=folder,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=True,
                timeout=20,
            ).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):  # no git, or no repository
        return None
    return {"commit": commit.strip(), "dirty": bool(status.strip())}
