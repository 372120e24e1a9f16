"""Channels of a table as float64 numbers."""

import re
from collections.abc import Sequence
from datetime import date, time, timedelta

import numpy as np
import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters import DataParams
from timellm_pipeline.series.lines import line_of

_REMOVE = "fill the value in, or remove the column if it is not a channel"
KINDS = (
    ((list, tuple, dict, set, np.ndarray), "lists or dictionaries"),
    ((date, time, pd.Period), "dates or times"),  # datetime and Timestamp are subclasses of date
    ((timedelta, np.timedelta64), "durations"),
    ((complex, np.complexfloating), "complex numbers"),
)


def to_numbers(
    table: pd.DataFrame, names: Sequence[str], data: DataParams, file: str, may_be_missing: bool
) -> dict[str, np.ndarray]:
    """Each of the named channels as float64. Raises SeriesError that lists the problems of the channels."""
    values, problems = {}, []
    for name in names:
        column = table[name]
        kind = _not_numbers(column)
        if kind is not None:
            fact = f"channel `{shown(name)}` contains {kind}, not real numbers"
            problems.append((fact, f"column `{shown(name)}`", "write real numbers, or remove the column"))
            continue
        if column.dtype == object:  # integers of hundreds of digits overflow float64
            column = column.map(lambda value: np.inf if isinstance(value, int) and abs(value) > 1e308 else value)
        if column.dtype == np.float64:  # pandas would copy it
            numbers = column.to_numpy()
        else:
            numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        missing = column.isna().to_numpy()
        bad = np.flatnonzero(~np.isfinite(numbers) & ~(missing & may_be_missing))
        if missing.all():
            problems.append((f"channel `{shown(name)}` has no values", f"column `{shown(name)}`", _REMOVE))
        elif bad.size:
            row = int(bad[0])
            found = column.iloc[row]
            fact = (
                f"a value of channel `{shown(name)}` is missing"
                if missing[row]
                else f"{found if isinstance(found, float) else _quoted(found)} is not a finite number"
            )
            position = f"line {line_of(row, data.csv)}, column `{shown(name)}` ({bad.size} such values in this column)"
            problems.append((fact, position, _advice(found, bool(missing[row]))))
        values[str(name)] = numbers
    if problems:
        more = f"; and {len(problems) - 1} more channels, for example `{shown(names[-1])}`" if len(problems) > 9 else ""
        listed = "; ".join(fact if n == 0 else f"{fact} ({spot})" for n, (fact, spot, _) in enumerate(problems[:5]))
        raise SeriesError(listed + more, where=f"{file}, {problems[0][1]}", do=problems[0][2])
    return values


def _not_numbers(column: pd.Series) -> str | None:
    """Kind of values that pandas would convert to numbers although they are not; None for numbers and text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.categories.to_series()
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        return "dates"
    if pd.api.types.is_timedelta64_dtype(column):
        return "durations"
    if pd.api.types.is_complex_dtype(column):
        return "complex numbers"
    if column.dtype == object:
        present = column[column.map(lambda value: value is not pd.NaT)]
        for kinds, name in KINDS:
            if present.map(lambda value, kinds=kinds: isinstance(value, kinds)).any():
                return name
    return None


def _quoted(found: object) -> str:
    return f"'{shown(found)}'" if isinstance(found, str) else shown(repr(found))


def _advice(found: object, missing: bool) -> str:
    text = str(found).strip()
    if missing:
        return "fill the value in, or set data.gaps to interpolate or drop_windows"
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text):
        return 'remove the thousands separators, or set data.csv to {thousands: ","}'
    if re.fullmatch(r"-?\d+,\d+", text):
        return 'write decimal points, or set data.csv to {decimal: ","}'
    return _REMOVE
