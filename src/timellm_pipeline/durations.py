"""Durations as text."""


def format_duration(seconds: float) -> str:
    """Seconds as text: `45 s`, `12 min`, `8 h 04 min`, `3 d 02 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"
