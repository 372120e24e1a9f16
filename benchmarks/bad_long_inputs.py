"""Long tables that cannot be used, or only in part, for `bad_inputs.py`: files of ragged daily sales."""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd

Change = Callable[[pd.DataFrame], pd.DataFrame]


def sales() -> pd.DataFrame:
    """Three stores with their own first day, a promotion, and 14 days of promotions after the last sale."""
    rng, tables = np.random.default_rng(0), []
    for number, first in enumerate((0, 30, 60)):
        days = pd.date_range("2020-01-01", periods=314, freq="D")[first:]
        sold = 10 + rng.standard_normal(len(days)).round(2)
        sold[-14:] = np.nan
        promotion = (rng.random(len(days)) < 0.2).astype(int)
        store = {"unique_id": f"S{number}", "ds": days, "y": sold, "promotion": promotion, "region": "north"}
        tables.append(pd.DataFrame(store))
    return pd.concat(tables, ignore_index=True)


def long_csv(change: Change, with_known: bool = False) -> bytes:
    """The changed table as CSV, by default without the columns and rows of known values."""
    table = sales()
    if not with_known:
        table = table.dropna(subset="y").drop(columns=["promotion", "region"]).reset_index(drop=True)
    return change(table).to_csv(index=False).encode()


def parts(*changes: Change) -> dict[str, bytes]:
    """Parquet files of a folder: one store each, changed."""
    table = sales().dropna(subset="y").drop(columns=["promotion", "region"])
    files = {}
    for (store, own), change in zip(table.groupby("unique_id"), changes, strict=True):
        buffer = io.BytesIO()
        change(own).to_parquet(buffer, index=False)
        files[f"{store}.parquet"] = buffer.getvalue()
    return files


def same(table: pd.DataFrame) -> pd.DataFrame:
    """No change."""
    return table


def with_value(row: int, column: str, value: str | None) -> Change:
    """One cell replaced."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        changed = table.astype({column: object})
        changed.loc[row, column] = value
        return changed

    return change


def with_weeks(table: pd.DataFrame) -> pd.DataFrame:
    """One store has a row each week."""
    return table[(table["unique_id"] != "S2") | (table.index % 7 == 0)]


def with_short(table: pd.DataFrame) -> pd.DataFrame:
    """One store has one row."""
    return table[(table["unique_id"] != "S2") | (table.index == table.index[-1])]


def with_repeated(table: pd.DataFrame) -> pd.DataFrame:
    """A row twice."""
    return pd.concat([table, table.iloc[[20]]])


def unsorted(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in random order."""
    return table.sample(frac=1, random_state=0)
