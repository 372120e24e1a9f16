"""Age of the newest row, and detection of time stamps in the future.

Time stamps with a UTC offset or a time zone in the file are compared in UTC. Otherwise the zone is unknown: the time
stamps are compared with the local clock, and count as future only if they exceed the largest difference of two zones.
"""

from datetime import datetime

import pandas as pd

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.time_zone import to_utc

ZONES = pd.Timedelta(hours=26)  # from UTC-12 to UTC+14


def age_of(panel: Panel, now: pd.Timestamp | None = None) -> pd.Timedelta:
    """Time since the newest row; negative if the row is in the future.

    Args:
        now: current time, with a time zone, or naive in the zone of the panel. By default, the system clock.
    """
    now = pd.Timestamp.now("UTC") if now is None else now
    newest = panel.stamps[-1]
    if now.tzinfo is None:
        age: pd.Timedelta = now - newest
    elif panel.zone is None:
        age = now.tz_convert(datetime.now().astimezone().tzinfo).tz_localize(None) - newest
    else:
        age = now - to_utc(panel.stamps[-1:], panel.zone)[0]
    return age


def future_by(panel: Panel, now: pd.Timestamp | None = None) -> pd.Timedelta | None:
    """Time by which the newest row is in the future, or None if it is not. Takes the arguments of `age_of`."""
    ahead = -age_of(panel, now)
    allowed = ZONES if panel.zone is None else pd.Timedelta(0)
    return ahead if ahead > allowed else None


def refuse_future(panel: Panel) -> None:
    """Raise SeriesError if the newest row is in the future: a forecast would start at the wrong time."""
    ahead = future_by(panel)
    if ahead is not None:
        raise SeriesError(
            f"the newest row, {panel.stamps[-1]}, is {ahead} in the future",
            where=f"{panel.source.path}, last row",
            do="correct the time stamps, or remove the rows that have not happened yet",
        )
