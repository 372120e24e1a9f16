"""The trained model in the catalog: a folder, loaded as a handle that reads the weights on demand."""

import json
from pathlib import Path

from timellm_pipeline.datasets.atomic import AtomicDataset
from timellm_pipeline.datasets.previews import JSONPreview
from timellm_pipeline.model.folder import CONFIG, find_damage
from timellm_pipeline.model.saved import SavedModel, TrainedModel
from timellm_pipeline.retraining.registry import Registry


class TimeLLMDataset(AtomicDataset[TrainedModel, SavedModel]):
    """`config.json`, `model.safetensors` (only the trainable weights) and `scaler.json`, one folder per version."""

    manifest = CONFIG
    how_to_make = "train one: kedro run --pipeline train, or publish a checkpoint: kedro run --pipeline publish"

    def read(self, path: Path) -> SavedModel:
        return SavedModel.read(path)

    def write(self, data: TrainedModel, path: Path) -> None:
        data.write(path)

    def find_damage(self, path: Path) -> str | None:
        return find_damage(path)

    def never_pruned(self) -> set[str]:
        return Registry(Path(self._filepath).parent).protected()

    def preview(self) -> JSONPreview:
        """The model's config, for kedro-viz."""
        config = json.loads((self.load().folder / CONFIG).read_text(encoding="utf-8"))
        return JSONPreview(json.dumps(config, ensure_ascii=False))
