"""Effects of known columns, such as a price or a promotion: regressors of the linear part.

A series is the sum of its effects and a remainder, and everything else forecasts the remainder:

    forecast = linear(x - E_past) + E_future        E = (Z - center) / scale @ coefficients

Z are the known columns of the window [rows, columns]. Removing an effect before forecasting and adding it afterwards
leaves errors as they are, so validation, alpha and intervals need no change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from timellm_pipeline.errors import ModelError, shown
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.mapped import empty, release
from timellm_pipeline.series.panel import Panel

ARRAYS = ("center", "scale", "coefficients", "fold_coefficients")


@dataclass(frozen=True, eq=False)
class KnownEffects:
    """Linear effects of the known columns, in scaled units of a series.

    Attributes:
        names: names of the known columns.
        ids: id of each series with coefficients of its own.
        center, scale: mean and deviation of the columns.
        coefficients: those of all other series, then those of `ids`.
        fold_coefficients: the same, fitted without one block of training windows; for each fold. Not stored with a
            model.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    center: Float[np.ndarray, "columns"]
    scale: Float[np.ndarray, "columns"]
    coefficients: Float[np.ndarray, "1+series columns"]
    fold_coefficients: Float[np.ndarray, "folds 1+series columns"]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by their names in the file of the linear part."""
        return {f"effect_{name}": getattr(self, name) for name in ARRAYS}

    @classmethod
    def from_arrays(cls, names: Sequence[str], ids: Sequence[str], arrays: Mapping[str, np.ndarray]) -> "KnownEffects":
        """The effects in a file. Raises KeyError for a missing array, ValueError for another shape."""
        made = cls(tuple(names), tuple(ids), *(arrays[f"effect_{name}"] for name in ARRAYS))
        matrix = 1 + len(ids), len(names)
        shapes = (len(names),), (len(names),), matrix, (len(made.fold_coefficients), *matrix)
        if tuple(array.shape for array in made.arrays.values()) != shapes:
            raise ValueError(f"the effects of {len(names)} known columns have arrays of other shapes")
        return made

    def numbers(self, ids: Sequence[str]) -> Int[np.ndarray, "series"]:
        """Row of `coefficients` of each series."""
        row = {name: number + 1 for number, name in enumerate(self.ids)}
        return np.array([row.get(name, 0) for name in ids], dtype=np.int64)

    def of(
        self,
        known: KnownValues | None,
        number: Int[np.ndarray, "windows"],
        fold: Int[np.ndarray, "windows"] | None = None,
    ) -> Float[np.ndarray, "windows rows"]:
        """Effects in the rows of windows, in scaled units.

        Args:
            known: values of the known columns.
            number: row of `coefficients` of each window.
            fold: fold of each window, for training windows: the coefficients that were fitted without it.

        Raises ModelError for other columns.
        """
        self.refuse_other(() if known is None else known.names)
        assert known is not None
        cross_fitted = fold is not None and len(self.fold_coefficients)
        own = self.fold_coefficients[fold, number] if cross_fitted else self.coefficients[number]
        return np.einsum("brc,bc->br", (known.values - self.center) / self.scale, own)

    def without_folds(self) -> "KnownEffects":
        """The effects as they are stored with a model."""
        return replace(self, fold_coefficients=self.fold_coefficients[:0])

    def removed(self, scaled: Panel) -> Panel:
        """The panel of the remainders, in scaled units. Raises ModelError for other columns."""
        known = scaled.known
        self.refuse_other(() if known is None else known.names)
        assert known is not None
        number, values = self.numbers(scaled.ids), empty(len(scaled.values), np.float32, scaled.folder)
        for some in scaled.blocks():
            part = slice(scaled.offsets[some[0]], scaled.offsets[some[-1] + 1])
            lengths = scaled.lengths[some]
            rows = np.arange(part.start, part.stop) + np.repeat(known.start[some] - scaled.offsets[some], lengths)
            z = (known.values[rows] - self.center) / self.scale
            values[part] = scaled.values[part] - (z * self.coefficients[np.repeat(number[some], lengths)]).sum(axis=1)
            release(values)
        return replace(scaled, values=values)

    def refuse_other(self, names: Sequence[str]) -> None:
        """Raise ModelError if these are not the known columns of the model."""
        if tuple(names) != self.names:
            raise ModelError(
                f"the model needs the known columns {', '.join(map(shown, self.names))}; the series have "
                f"{', '.join(map(shown, names)) or 'none'}",
                where="data.known_columns",
                do="read the file with the known columns of the model, in the same order",
            )
