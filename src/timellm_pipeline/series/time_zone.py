"""Time zones: split time stamps into naive time stamps and a zone, convert them to UTC or back to the zone of the file.

The pipeline uses naive time stamps on a regular grid. A zone is one of

- None: the file has no offset; the time stamps are wall time in an unknown zone;
- an offset such as `+02:00`: the time stamps are wall time at this constant offset;
- `UTC`: the time stamps are in UTC;
- a name such as `Europe/Berlin`: the offset changes within the file, and the time stamps are in UTC, because wall time
  has a repeated and a missing hour each year.
"""

import re

import pandas as pd

UTC = "UTC"
OFFSET = re.compile(r"[+-]\d{2}:\d{2}")
MINUTE = pd.Timedelta(minutes=1)


def split_zone(dates: pd.Series) -> tuple[pd.Series, str | None]:
    """Naive time stamps and their zone, as described at the top of the module.

    Args:
        dates: datetime64 with or without a time zone; NaT stays NaT.
    """
    if dates.dt.tz is None:
        return dates, None
    in_utc = dates.dt.tz_convert(UTC).dt.tz_localize(None)
    wall = dates.dt.tz_localize(None)
    offsets = (wall - in_utc).dropna().unique()
    if not len(offsets):
        return in_utc, UTC
    offset = pd.Timedelta(offsets[0])
    if len(offsets) == 1 and not offset % MINUTE:  # offsets before 1900 have seconds
        return wall, _offset_name(offset)
    return in_utc, _zone_name(str(dates.dt.tz))


def to_utc(stamps: pd.Series | pd.DatetimeIndex, zone: str | None) -> pd.DatetimeIndex:
    """Time stamps with the time zone UTC.

    Args:
        stamps: naive time stamps, as in `ParsedDates`.
        zone: their zone.

    Raises ValueError if the zone is None: the UTC time is unknown.
    """
    if zone is None:
        raise ValueError("time stamps without a zone cannot be converted to UTC")
    return _localize(pd.DatetimeIndex(stamps), zone).tz_convert(UTC)


def as_in_file(stamps: pd.DatetimeIndex, zone: str | None) -> pd.DatetimeIndex:
    """Time stamps as in the file: naive if the zone is None, otherwise with the offset or the named zone.

    Args:
        stamps: naive time stamps as in `ParsedDates`, for example of a forecast.
        zone: zone of the file.
    """
    if zone is None:
        return stamps
    local = _localize(stamps, zone)
    return local if OFFSET.fullmatch(zone) else local.tz_convert(zone)


def _localize(stamps: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    """Localised time stamps: wall time for an offset, UTC for a name."""
    return stamps.tz_localize(zone if OFFSET.fullmatch(zone) else UTC)


def _offset_name(offset: pd.Timedelta) -> str:
    minutes = offset // MINUTE
    if not minutes:
        return UTC
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _zone_name(name: str) -> str:
    """The name if pandas can look it up; UTC for time zone objects without a name."""
    try:
        pd.Timestamp(0, tz=name)
    except (ValueError, KeyError, TypeError):  # zoneinfo raises a KeyError for an unknown name
        return UTC
    return name
