"""The project's own Kedro datasets."""

from timellm_pipeline.datasets.files import (
    AtomicCSVDataset,
    AtomicJSONDataset,
    AtomicParquetDataset,
    AtomicPlotDataset,
    AtomicTextDataset,
    RecordDataset,
    TablePartsDataset,
)
from timellm_pipeline.datasets.handles import (
    BackboneDataset,
    CheckpointStoreDataset,
    RegistryDataset,
    RunContextDataset,
)
from timellm_pipeline.datasets.model import TimeLLMDataset
from timellm_pipeline.datasets.panels import LinearPartDataset, PanelDataset, WindowIndexDataset
from timellm_pipeline.datasets.raw_series import OptionalFileDataset, RawSeriesDataset

__all__ = [
    "AtomicCSVDataset",
    "AtomicJSONDataset",
    "AtomicParquetDataset",
    "AtomicPlotDataset",
    "AtomicTextDataset",
    "BackboneDataset",
    "CheckpointStoreDataset",
    "LinearPartDataset",
    "OptionalFileDataset",
    "PanelDataset",
    "RawSeriesDataset",
    "RecordDataset",
    "RegistryDataset",
    "RunContextDataset",
    "TablePartsDataset",
    "TimeLLMDataset",
    "WindowIndexDataset",
]
