"""Kedro datasets of the project's own."""

from timellm_pipeline.datasets.handles import (
    BackboneDataset,
    CheckpointStoreDataset,
    RegistryDataset,
    RunContextDataset,
)
from timellm_pipeline.datasets.model import TimeLLMDataset
from timellm_pipeline.datasets.raw_series import RawSeriesDataset
from timellm_pipeline.datasets.whole import (
    WholeCSVDataset,
    WholeJSONDataset,
    WholeParquetDataset,
    WholePlotDataset,
    WholeTextDataset,
)

__all__ = [
    "BackboneDataset",
    "CheckpointStoreDataset",
    "RawSeriesDataset",
    "RegistryDataset",
    "RunContextDataset",
    "TimeLLMDataset",
    "WholeCSVDataset",
    "WholeJSONDataset",
    "WholeParquetDataset",
    "WholePlotDataset",
    "WholeTextDataset",
]
