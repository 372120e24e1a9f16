"""The data path from a raw file to windows. Pipelines, tests and notebooks use the same functions.

    raw file -> validate -> panel -> split -> borders -> fit -> scaler
      -> scale -> scaled panel -> index -> window index -> plan -> run plan

Each node of the Kedro pipeline calls one of these functions; `prepare` calls all of them, for tests, benchmarks and
notebooks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import pandas as pd

from timellm_pipeline.errors import ModelError
from timellm_pipeline.parameters import (
    DataParams,
    EvaluationParams,
    Parameters,
    SplitParams,
    TrainingParams,
    WindowParams,
)
from timellm_pipeline.series.borders import SplitBorders, split_borders
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.series.long_parquet import open_long_parquet
from timellm_pipeline.series.panel import Panel, Source
from timellm_pipeline.series.plan import RunPlan, plan_run
from timellm_pipeline.series.reading import RawFile, read_table
from timellm_pipeline.series.scaling import Scaler, fit_scaler, scale_panel
from timellm_pipeline.series.validation import Wanted, validate_parquet, validate_series
from timellm_pipeline.series.windows import WindowIndex, Windows, build_window_index, used_channels


@dataclass(frozen=True)
class WindowData:
    """Scaled series, scaler and window index of one data preparation, on which models are scored.

    Raises ModelError if their data ids differ.
    """

    scaled: Panel
    scaler: Scaler
    index: WindowIndex

    def __post_init__(self) -> None:
        ids = self._data_ids()
        if len(set(ids.values())) > 1:
            listed = ", ".join(f"{name} {str(value)[:12]}" for name, value in ids.items())
            raise ModelError(
                f"these data sets were not made from the same data: {listed}",
                where="data_id of the data sets",
                do="run the whole pipeline again (kedro run --pipeline data makes all of them again)",
            )

    def _data_ids(self) -> dict[str, str | None]:
        return {
            "scaled_series": self.scaled.data_id,
            "scaler": self.scaler.data_id,
            "window_index": self.index.facts.data_id,
        }

    def of_series(self, ids: Sequence[str]) -> Self:
        """The data of some series, in the given order. Raises KeyError for an unknown id."""
        if tuple(ids) == self.index.ids:
            return self
        numbers = [self.scaled.number_of[name] for name in ids]
        splits = {name: segments.select(numbers) for name, segments in self.index.splits.items()}
        index = replace(self.index, ids=tuple(ids), splits=splits)
        return replace(self, scaled=self.scaled.select(ids), scaler=self.scaler.select(ids), index=index)

    def windows(self, split: str) -> Windows:
        """Windows of the split `train`, `validation` or `test`."""
        return Windows(self.scaled, self.index.splits[split], self.index.facts.seq_len, self.index.facts.pred_len)

    @property
    def seen_until(self) -> pd.Timestamp:
        """Time stamp of the newest row that is used to train or to choose a model, with the zone of the file."""
        horizon = self.index.facts.pred_len
        newest = max(int(self.windows(split).origins()[-1]) for split in ("train", "validation"))
        stamp: pd.Timestamp = self.scaled.stamps_in_file[newest + horizon]
        return stamp


@dataclass(frozen=True)
class TrainingData(WindowData):
    """Data of one training run: scaled series, scaler, window index and run plan."""

    plan: RunPlan

    def _data_ids(self) -> dict[str, str | None]:
        return {**super()._data_ids(), "run_plan": self.plan.data_id}


@dataclass(frozen=True)
class Prepared:
    """Results of the data path for one file."""

    series: Panel
    split_borders: SplitBorders
    training: TrainingData


def prepare(raw: RawFile | pd.DataFrame, parameters: Parameters) -> Prepared:
    """Series, borders and training data of a raw file, or of a table with the same columns.

    Raises UserError if the input or the parameters cannot be used.
    """
    series = validate(raw, parameters.data, parameters.window)
    borders = split(series, parameters.split, parameters.window, parameters.evaluation)
    scaler = fit(series, borders)
    scaled = scale(series, borders, scaler)
    windows = index(scaled, borders, parameters.window, parameters.evaluation)
    run_plan = plan(windows, borders, parameters.window, parameters.training, parameters.evaluation)
    return Prepared(series, borders, TrainingData(scaled, scaler, windows, run_plan))


def validate(raw_series: RawFile | pd.DataFrame, data: DataParams, window: WindowParams) -> Panel:
    """Validated series of a raw file or table, in original units."""
    return read_series(raw_series, data, Wanted.for_training(window))


def read_series(raw: RawFile | pd.DataFrame, data: DataParams, wanted: Wanted) -> Panel:
    """Validated series of the wanted columns of a raw file or table, in original units."""
    long = None if isinstance(raw, pd.DataFrame) else open_long_parquet(raw, data)
    if long is not None and isinstance(raw, RawFile):
        return validate_parquet(long, raw, data, wanted)
    table = raw if isinstance(raw, pd.DataFrame) else read_table(raw, data)
    path, sha256 = ("the table", None) if isinstance(raw, pd.DataFrame) else (raw.path, raw.sha256)
    source = Source(path, sha256, len(table), date_column=data.date_column)
    return validate_series(table, source, data, wanted)


def split(series: Panel, split: SplitParams, window: WindowParams, evaluation: EvaluationParams) -> SplitBorders:
    """Row ranges of the splits, the channels in use, and the data id of everything computed from them."""
    stamps = series.stamps_in_file if split.method == "dates" else None
    borders = split_borders(series.num_rows, split, window, series.source.path, series.frequency, stamps)
    series_digest = series.digest()
    data_id = digest_of(
        {
            "series": series_digest,
            "borders": borders.model_dump(),
            "window": window.model_dump(include={"seq_len", "pred_len", "window_step", "features", "target"}),
            "evaluation": evaluation.model_dump(include={"validation_step", "test_step"}),
        }
    )
    channels = used_channels(list(series.ids), window)
    return SplitBorders(data_id=data_id, series_digest=series_digest, channels=channels, split=split, borders=borders)


def fit(series: Panel, split_borders: SplitBorders) -> Scaler:
    """Scaler fitted on the training rows."""
    _refuse_another_series(series, split_borders)
    return fit_scaler(series.select(split_borders.channels), split_borders.borders, split_borders.data_id)


def scale(series: Panel, split_borders: SplitBorders, scaler: Scaler) -> Panel:
    """Series in scaled units (float32)."""
    _refuse_another_series(series, split_borders)
    return scale_panel(series, scaler)


def _refuse_another_series(series: Panel, split_borders: SplitBorders) -> None:
    """Raise ModelError if the borders belong to another series: one of the files is from another run."""
    if series.digest() != split_borders.series_digest:
        raise ModelError(
            "the series and the split borders were not made from the same data",
            where="series, split_borders",
            do="run the whole pipeline again (kedro run --pipeline data makes all of them again)",
        )


def index(
    scaled_series: Panel, split_borders: SplitBorders, window: WindowParams, evaluation: EvaluationParams
) -> WindowIndex:
    """Index of every training, validation and test window."""
    borders, data_id = split_borders.borders, split_borders.data_id
    return build_window_index(scaled_series, borders, split_borders.split, window, evaluation, data_id)


def plan(
    window_index: WindowIndex,
    split_borders: SplitBorders,
    window: WindowParams,
    training: TrainingParams,
    evaluation: EvaluationParams,
) -> RunPlan:
    """Run plan: all counts of the training run."""
    borders = split_borders.borders
    return plan_run(window_index, borders.num_rows, borders.train_rows, window, training, evaluation)
