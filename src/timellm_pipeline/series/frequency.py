"""What a frequency means in rows and in words."""

import pandas as pd

DAY = pd.Timedelta(days=1)
CALENDAR_SEASONS = {"W": 52, "M": 12, "MS": 12, "ME": 12, "Q": 4, "QS": 4, "QE": 4, "B": 5, "D": 7}
WORDS = {
    "h": "hourly",
    "D": "daily",
    "7D": "weekly",
    "W": "weekly",
    "B": "business-daily",
    "MS": "monthly",
    "ME": "monthly",
}


def season_length(frequency: str) -> int:
    """Rows in a season: a day for steps below a day, a week for days, a year for weeks and longer.

    The seasonal-naive baseline repeats so many rows. Where a day is no whole number of steps the season is 1,
    which makes seasonal naive the same as naive.
    """
    offset = pd.tseries.frequencies.to_offset(frequency)
    try:
        step = pd.Timedelta(offset.nanos, unit="ns")
    except ValueError:  # months and business days have no fixed length
        return CALENDAR_SEASONS.get(frequency.split("-", maxsplit=1)[0], 1)
    if step < DAY:
        return int(DAY / step) if DAY % step == pd.Timedelta(0) else 1
    return {1: 7, 7: 52}.get(step.days, 1)


def frequency_in_words(frequency: str) -> str:
    """`hourly` for h, `15-minute` for 15min, and so on, for the prompt's neutral description."""
    base = frequency.split("-", maxsplit=1)[0]
    if base in WORDS:
        return WORDS[base]
    for suffix, unit in (("min", "minute"), ("h", "hour"), ("s", "second"), ("D", "day")):
        if base.endswith(suffix) and base.removesuffix(suffix).isdigit():
            return f"{base.removesuffix(suffix)}-{unit}"
    return f"evenly spaced ({frequency})"
