"""Texts about single series, from the static columns of a long table, such as the region of a store."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from timellm_pipeline.errors import SeriesError, shown


class StaticFacts:
    """Values of static columns, which must be equal in all rows of a series.

    Args:
        columns: names of the static columns.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._texts: dict[str, dict[str, int]] = {name: {} for name in columns}
        self._found = {name: np.zeros(0, dtype=np.int32) for name in columns}  # 1 + number of the text; 0: unknown

    def add(
        self, name: str, series: Int[np.ndarray, "rows"], code: Int[np.ndarray, "rows"], values: Sequence[Any]
    ) -> int | None:
        """Add rows of a column. Returns the first row whose value differs from that of its series, or None.

        Args:
            series: index of the series of each row.
            code: index of the value of each row; -1 if it is missing.
            values: distinct values.
        """
        texts, found = self._texts[name], self._found[name]
        own = np.array([texts.setdefault(as_text(value), len(texts)) for value in [*values, None]], dtype=np.int32)
        text = own[code] + 1  # a missing value is the last one
        missing = int(series.max()) + 1 - len(found) if len(series) else 0
        found = self._found[name] = np.pad(found, (0, max(missing, 0)))
        new = np.flatnonzero(found[series] == 0)[::-1]
        found[series[new]] = text[new]  # the first row of a series is assigned last
        differing = np.flatnonzero(found[series] != text)
        return int(differing[0]) if len(differing) else None

    def texts(self) -> tuple[str, ...]:
        """The text of each series, such as `type: large, region: north`; a missing value is left out."""
        if not self.columns:
            return ()
        combined = np.stack([self._found[name] for name in self.columns], axis=1)
        distinct, number = np.unique(combined, axis=0, return_inverse=True)
        known = [list(self._texts[name]) for name in self.columns]
        made = []
        for row in distinct:
            values = [(name, texts[code - 1]) for name, texts, code in zip(self.columns, known, row)]
            made.append(", ".join(f"{name}: {value}" for name, value in values if value))
        return tuple(made[one] for one in number.reshape(-1))


def as_text(value: Any) -> str:
    """A value as text; empty if it is missing."""
    if value is None or value != value:  # noqa: PLR0124 - NaN differs from itself
        return ""
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else f"{value:g}"
    return str(value).strip()


def differs(name: str, series: str, file: str) -> SeriesError:
    """The error for a static column that changes within a series."""
    return SeriesError(
        f"the static column `{shown(name)}` has several values for the series `{shown(series)}`",
        where=f"{file}, column `{shown(name)}`",
        do="write one value in all rows of a series, or remove the column from data.static_columns",
    )
