"""The trained model in the catalog: a folder, handed out as a handle that loads weights only when asked to."""

import json
from pathlib import Path

from kedro_datasets._typing import JSONPreview

from timellm_pipeline.datasets.whole import WholeDataset
from timellm_pipeline.model.saved import CONFIG, SavedModel, TrainedModel, find_damage
from timellm_pipeline.retraining.registry import Registry


class TimeLLMDataset(WholeDataset[TrainedModel, SavedModel]):
    """`config.json`, `model.safetensors` (trainable weights alone) and `scaler.json`, one folder a version."""

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
