"""Column names as text, unique and without control characters."""

import logging

import pandas as pd

from timellm_pipeline.errors import SeriesError, shown
from timellm_pipeline.parameters.data import clean_name

log = logging.getLogger(__name__)


def text_names(columns: pd.Index, path: str) -> pd.Index:
    """Column names as text. Raises SeriesError for a header with several levels and for names equal as text."""
    if isinstance(columns, pd.MultiIndex):
        raise SeriesError(
            f"the column names have {columns.nlevels} levels, such as {shown(columns[0])}",
            where=f"{path}, header",
            do="use one header row with one name per column",
        )
    if all(isinstance(name, str) for name in columns):
        return columns
    names = columns.map(str)
    if names.has_duplicates:
        name = names[names.duplicated()][0]
        raise SeriesError(
            f"two column names are equal as text: `{shown(name)}`", where=f"{path}, header", do="rename one of them"
        )
    return names


def clean_names(names: list[str], path: str) -> list[str]:
    """Column names with control and invisible format characters replaced by a space. Changes are logged.

    Raises SeriesError for names that become equal or empty.
    """
    cleaned = [clean_name(name) for name in names]
    changed = [(name, new) for name, new in zip(names, cleaned, strict=True) if name != new]
    first: dict[str, str] = {}
    for name, new in zip(names, cleaned, strict=True):
        if not new and name:
            raise SeriesError(
                f"the column name `{shown(name)}` has only control characters", where=f"{path}, header", do="rename it"
            )
        if new in first:
            raise SeriesError(
                f"the column names `{shown(first[new])}` and `{shown(name)}` are equal without control characters",
                where=f"{path}, header",
                do="rename one of the columns",
            )
        first[new] = name
    if changed:
        listed = ", ".join(f"'{shown(name)}' becomes `{shown(new)}`" for name, new in changed[:5])
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        log.warning("%s: control characters in column names are replaced by spaces: %s%s", path, listed, more)
    return cleaned


def list_names(names: list[str], most: int = 12) -> str:
    """Names for a message: the first `most` in backquotes, then the number of the others."""
    listed = ", ".join(f"`{shown(name)}`" for name in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
