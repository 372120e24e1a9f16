"""The text of a prompt, and that none of it depends on the rest of the batch or on another series."""

import numpy as np
import pytest

from conftest import make_tokenizer, random_windows
from timellm_pipeline.model.prompt import PromptWriter, describe_series
from timellm_pipeline.model.statistics import strongest_lags, window_statistics
from timellm_pipeline.parameters import PromptParams, WindowParams

WINDOW = WindowParams(seq_len=96, pred_len=24)
LAYOUTS = [
    PromptParams(),
    PromptParams(layout="published", significant_digits=None, lags="circular", statistics="normalised"),
]


@pytest.mark.parametrize("prompt", LAYOUTS, ids=["compact", "published"])
def test_the_statistics_of_a_window_are_the_same_to_the_bit_in_any_batch(prompt: PromptParams) -> None:
    """The published lag list is ordered by rounding, which in a batch can depend on the neighbours."""
    windows = random_windows(64, 96)
    together = window_statistics(windows, prompt.statistics, prompt.lags)
    for row, of_window in enumerate(together):
        assert window_statistics(windows[[row]], prompt.statistics, prompt.lags) == [of_window]


def test_lags_are_the_periods_of_the_window() -> None:
    """The circular list always begins with lag 0 and repeats each lag as its mirror, which carries no information."""
    hours = np.arange(512)
    daily = np.sin(2 * np.pi * hours / 24) + 0.01 * np.random.default_rng(0).standard_normal(512)
    (lags,) = strongest_lags(daily[None])
    assert lags[0] == 24 and lags[1] == 48
    assert len(lags) == len(set(lags)) == 5 and all(1 <= lag <= 256 for lag in lags)
    (circular,) = window_statistics(daily[None], "normalised", "circular")
    assert circular.lags[0] == 0


def test_a_flat_window_has_no_lags_and_no_trend() -> None:
    """All lags of a constant tie; naming five of them would be noise."""
    (found,) = window_statistics(np.full((1, 96), 3.0), "scaled", "acf")
    assert found.lags == [] and found.trend == "flat" and found.minimum == found.maximum == 3.0


def test_the_trend_is_the_slope_and_not_the_last_point() -> None:
    """One noisy last point turns the sign of last minus first."""
    rising = np.linspace(0, 5, 96)
    rising[-1] = -1
    (ours,) = window_statistics(rising[None], "scaled", "acf")
    (published,) = window_statistics(rising[None], "normalised", "acf")
    assert (ours.trend, published.trend) == ("upward", "downward")


@pytest.mark.parametrize("prompt", LAYOUTS, ids=["compact", "published"])
def test_shared_and_own_tokens_together_are_the_whole_prompt(prompt: PromptParams) -> None:
    """Cutting the text before it is tokenised changes the tokens at the cut."""
    tokenizer = make_tokenizer(bert=False)
    writer = PromptWriter(tokenizer, prompt, WINDOW, "An hourly series.")
    windows = random_windows(32, 96)
    made = writer.tokens(windows)
    assert made.num_shared == len(writer.shared_ids) > 20
    for row, text in enumerate(writer.texts(windows)):
        own = made.ids[row][made.mask[row]].tolist()
        assert writer.shared_ids + own == tokenizer(text)["input_ids"]
        assert not made.mask[row, : made.mask.shape[1] - len(own)].any()
    assert made.ids.shape[1] + made.num_shared <= writer.longest_probe


def test_an_unexpected_merge_shares_fewer_tokens_and_loses_none() -> None:
    """A merge across the end of the shared part must not drop or change a token."""
    tokenizer = make_tokenizer(bert=False)
    writer = PromptWriter(tokenizer, PromptParams(), WINDOW, "An hourly series.")
    writer.shared_ids = [*writer.shared_ids[:10], 999_999, *writer.shared_ids[11:]]
    windows = random_windows(4, 96)
    made = writer.tokens(windows)
    assert made.num_shared == 10
    complete = [writer.shared_ids[:10] + made.ids[row][made.mask[row]].tolist() for row in range(4)]
    assert complete == tokenizer(writer.texts(windows))["input_ids"]


def test_numbers_have_the_requested_digits() -> None:
    """A full float costs ten tokens, and a forecast jumps when its last digit does."""
    windows = random_windows(1, 96)
    compact = PromptWriter(make_tokenizer(bert=False), PromptParams(significant_digits=3), WINDOW, "").texts(windows)[0]
    numbers = compact.split("Input: ")[1].split()[:3]
    assert all(len(number.lstrip("-").replace(".", "").lstrip("0")) <= 3 for number in numbers)


def test_a_description_is_used_for_its_own_file_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A prompt that describes an electricity transformer is wrong for a series of wind power."""
    facts = {"channels": ["a", "b"], "frequency": "h", "first": "2020-01-01", "last": "2020-06-30"}
    prompt = PromptParams(description="A transformer.", description_for="f" * 64)
    assert describe_series(prompt, sha256="f" * 64, **facts) == "A transformer."
    neutral = describe_series(prompt, sha256="0" * 64, **facts)
    assert neutral == "An hourly series with 2 channels (a, b) from 2020-01-01 to 2020-06-30."
    assert "description is for another file" in caplog.text
    assert describe_series(PromptParams(description="Mine."), sha256=None, **facts) == "Mine."
    many = describe_series(PromptParams(), sha256=None, **{**facts, "channels": [f"c{n}" for n in range(40)]})
    assert "and 28 more" in many
