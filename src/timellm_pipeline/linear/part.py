"""The fitted linear part: its maps, how it was chosen, and its forecasts.

Stored as one safetensors file; the facts are in its header.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict

from timellm_pipeline.errors import ModelError
from timellm_pipeline.linear.candidates import Candidate
from timellm_pipeline.linear.effects import KnownEffects
from timellm_pipeline.linear.folds import Folds
from timellm_pipeline.series.identity import digest_of_arrays

FORMAT = 2  # increased when the same inputs give another linear part
UNKNOWN = -1  # number of a series that the part was not fitted on


class Tried(BaseModel):
    """One candidate and its errors.

    Attributes:
        criterion: mean of the ratios of its MSE to that of the plain ridge, over the blocks and validation.
        validation_mse: MSE on the validation windows, in scaled units; None for the mean of the window.
    """

    model_config = ConfigDict(frozen=True)

    candidate: Candidate
    criterion: float
    validation_mse: float


class Chosen(BaseModel):
    """One candidate of the forecast, with its weight. The weights sum to 1."""

    model_config = ConfigDict(frozen=True)

    candidate: Candidate
    weight: float


class LinearFacts(BaseModel):
    """How the linear part was fitted.

    Attributes:
        inputs_id: digest of everything that the fit reads.
        ids: id of each series with a deviation, in the order of the maps; empty if one map is shared.
        chosen: candidates of the forecast.
        tried: all candidates with their errors, sorted by the criterion.
        num_windows: training windows of the fit.
        validation_mse: MSE on the validation windows, in scaled units; None for the mean of the window.
        bounds, gap: blocks of the cross-validation (`Folds`).
    """

    model_config = ConfigDict(frozen=True)

    inputs_id: str
    ids: tuple[str, ...]
    chosen: tuple[Chosen, ...]
    tried: tuple[Tried, ...]
    num_windows: int
    validation_mse: float | None
    bounds: tuple[int, ...]
    gap: int


@dataclass(frozen=True, eq=False)
class LinearPart:
    """Linear maps from centred windows to centred horizons.

    Attributes:
        facts: how it was fitted.
        shared: map of series that it was not fitted on.
        maps: map of each series of `facts.ids`; one map for all series if it has length 1 and `facts.ids` is empty.
        fold_maps: the same, fitted without one block of training windows; for each fold.
        effects: effects of known columns. The maps forecast windows without them (`Remainder`).
    """

    facts: LinearFacts
    shared: Float[np.ndarray, "seq_len pred_len"]
    maps: Float[np.ndarray, "series seq_len pred_len"]
    fold_maps: Float[np.ndarray, "folds series seq_len pred_len"]
    effects: KnownEffects | None = None

    @classmethod
    def mean_of_window(cls, seq_len: int, pred_len: int, inputs_id: str = "") -> "LinearPart":
        """The part of a model without one: it forecasts the mean of the window, and Time-LLM everything else."""
        facts = LinearFacts(
            inputs_id=inputs_id,
            ids=(),
            chosen=(Chosen(candidate=Candidate(kind="rule"), weight=1.0),),
            tried=(),
            num_windows=0,
            validation_mse=None,
            bounds=(0, 0),
            gap=0,
        )
        maps = np.zeros((1, seq_len, pred_len))
        return cls(facts, maps[0], maps, np.zeros((0, *maps.shape), dtype=np.float32))

    @property
    def is_fitted(self) -> bool:
        """Whether this is more than the mean of the window."""
        return self.facts.validation_mse is not None

    @property
    def folds(self) -> Folds:
        """The blocks of training windows."""
        return Folds(self.facts.bounds, self.facts.gap)

    def numbers(self, ids: Sequence[str]) -> Int[np.ndarray, "series"]:
        """Number of the map of each series; `UNKNOWN` for the shared map."""
        known = {name: number for number, name in enumerate(self.facts.ids)}
        return np.array([known.get(name, UNKNOWN) for name in ids], dtype=np.int64)

    def forecast(
        self, x: Float[np.ndarray, "batch seq_len"], series: Int[np.ndarray, "batch"] | None = None
    ) -> Float[np.ndarray, "batch pred_len"]:
        """Forecasts [batch, pred_len] in scaled units, in float64. Each depends only on its own window and series.

        Args:
            x: windows in scaled units.
            series: number of the map of each window (`numbers`). By default, the shared map.
        """
        number = np.full(len(x), UNKNOWN) if series is None else series
        return _apply(x, number, lambda known: self.shared if known == UNKNOWN else self.maps[known])

    def cross_fitted(
        self,
        x: Float[np.ndarray, "batch seq_len"],
        series: Int[np.ndarray, "batch"],
        start: Int[np.ndarray, "batch"],
    ) -> Float[np.ndarray, "batch pred_len"]:
        """Forecasts of training windows by maps that were fitted without their block, in scaled units.

        Args:
            x: windows in scaled units.
            series: number of the map of each window.
            start: grid position of the first row of each window.
        """
        if not len(self.fold_maps):
            assert not len(self.folds), "the maps of the folds are not stored with a model"
            return self.forecast(x, series)
        per_series = self.fold_maps.shape[1]
        number = np.maximum(series, 0) if per_series > 1 else np.zeros(len(x), dtype=np.int64)
        group = self.folds.of_start(start) * per_series + number
        return _apply(x, group, lambda known: self.fold_maps[divmod(known, per_series)])

    def digest(self) -> str:
        """sha256 of the maps."""
        effects = self.effects.arrays.values() if self.effects else ()
        return digest_of_arrays(self.shared, self.maps, self.fold_maps, *effects)

    def without_folds(self) -> "LinearPart":
        """The part as it is stored with a model: forecasts need no maps of folds."""
        return replace(self, fold_maps=self.fold_maps[:0], effects=self.effects and self.effects.without_folds())

    def as_bytes(self) -> bytes:
        """Content of its file."""
        from safetensors.numpy import save

        arrays = {"shared": self.shared, "maps": self.maps, "fold_maps": self.fold_maps}
        header = {"facts": self.facts.model_dump_json()}
        if self.effects is not None:
            arrays |= self.effects.arrays
            header["effects"] = json.dumps({"names": self.effects.names, "ids": self.effects.ids}, ensure_ascii=False)
        return save(arrays, header)

    @classmethod
    def from_file(cls, path: Path) -> "LinearPart":
        """The part in a file. Raises ModelError for a damaged file."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            content = path.read_bytes()
            arrays = load(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            facts = LinearFacts.model_validate_json(header["__metadata__"]["facts"])
            named = json.loads(header["__metadata__"].get("effects", "null"))
            effects = KnownEffects.from_arrays(named["names"], named["ids"], arrays) if named else None
            part = cls(facts, arrays["shared"], arrays["maps"], arrays["fold_maps"], effects)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise ModelError(
                f"cannot read the linear part: {error}", where=str(path), do="restore the file, or train again"
            ) from error
        shapes = [array.shape for array in (part.shared, part.maps, part.fold_maps)]
        maps = max(len(facts.ids), 1), *shapes[0]
        if len(maps) != 3 or shapes[1] != maps or shapes[2] not in ((0, *maps), (len(part.folds), *maps)):
            raise ModelError(
                f"the linear part has maps of the shapes {', '.join(map(str, shapes))} for {len(facts.ids)} series "
                f"and {len(part.folds)} folds",
                where=str(path),
                do="restore the file, or train again",
            )
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ModelError(
                "the linear part has values that are not finite numbers",
                where=str(path),
                do="restore the file, or train again",
            )
        return part


def _apply(
    x: np.ndarray, group: np.ndarray, map_of: Callable[[int], np.ndarray]
) -> Float[np.ndarray, "batch pred_len"]:
    """Forecasts of windows, group by group, each with the map of its group."""
    values = x.astype(np.float64)
    mean = values.mean(axis=1, keepdims=True)
    centred = values - mean
    groups = np.unique(group)
    first = map_of(int(groups[0])).astype(np.float64) if len(groups) else np.zeros((x.shape[1], 0))
    if len(groups) <= 1:
        return centred @ first + mean
    forecast = np.empty((len(x), first.shape[1]))
    for known in groups:
        rows = group == known
        forecast[rows] = centred[rows] @ map_of(int(known)).astype(np.float64)
    return forecast + mean
