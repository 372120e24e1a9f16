"""How old the newest row is, and whether it lies in the future.

Time stamps that carried a UTC offset in the file are compared in UTC. Others have an unknown zone: they are compared
with the local clock, and count as future only beyond what two time zones can differ by.
"""

from datetime import datetime

import pandas as pd

from timellm_pipeline.errors import SeriesError

ZONES = pd.Timedelta(hours=26)  # from UTC-12 to UTC+14


def age_of(series: pd.DataFrame, now: pd.Timestamp | None = None) -> pd.Timedelta:
    """Time since the newest row; negative for one in the future.

    Args:
        series: a checked series; `attrs["utc"]` says whether its time stamps are in UTC.
        now: with its time zone, or without one in the series' own zone; None: the clock.
    """
    now = pd.Timestamp.now("UTC") if now is None else now
    if now.tzinfo is not None:
        zone = "UTC" if series.attrs.get("utc") else datetime.now().astimezone().tzinfo
        now = now.tz_convert(zone).tz_localize(None)
    age: pd.Timedelta = now - series["date"].iloc[-1]
    return age


def future_by(series: pd.DataFrame, now: pd.Timestamp | None = None) -> pd.Timedelta | None:
    """How far the newest row lies in the future, or None for a row of the past. Arguments as for `age_of`."""
    ahead = -age_of(series, now)
    allowed = pd.Timedelta(0) if series.attrs.get("utc") else ZONES
    return ahead if ahead > allowed else None


def refuse_future(series: pd.DataFrame) -> None:
    """Raises SeriesError when the newest row lies in the future: what follows it is not the next forecast."""
    ahead = future_by(series)
    if ahead is not None:
        raise SeriesError(
            f"the newest row, {series['date'].iloc[-1]}, lies {ahead} in the future",
            where=f"{series.attrs.get('file', 'the table')}, last row",
            do="correct the time stamps, or remove the rows that have not happened yet",
        )
