"""Durations are written as people read them."""

import pytest

from timellm_pipeline.durations import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45, "45 s"), (89, "89 s"), (90, "2 min"), (720, "12 min"), (29_040, "8 h 04 min")]
    + [(172_000, "47 h 47 min"), (180_000, "2 d 02 h")],
)
def test_a_duration_has_the_unit_that_fits_it(seconds: float, text: str) -> None:
    """`180000 s left` answers nothing."""
    assert format_duration(seconds) == text
