"""The prompt: text before the patches, as tokens of a part that all windows share and a part of each one's own.

Prompts are tokenised whole, and the shared part is the longest common run of leading tokens: cutting the text first
would change the tokens at the cut. The own parts are padded on the left, between shared part and patches, and the
padding is masked and takes no position, so a window's tokens mean the same alone and in any batch.
"""

import logging
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from timellm_pipeline.model.statistics import WindowStatistics, window_statistics
from timellm_pipeline.parameters import PromptParams, WindowParams
from timellm_pipeline.series.frequency import frequency_in_words
from timellm_pipeline.series.scaling import Scaler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptTokens:
    """Tokens of a batch: the first `num_shared` of the writer's shared ids, then each window's own, padded left."""

    num_shared: int
    ids: Int[Tensor, "batch own"]
    mask: Bool[Tensor, "batch own"]

    def to(self, device: torch.device) -> "PromptTokens":
        """The same tokens on a device; the copy does not wait."""
        return PromptTokens(
            self.num_shared, self.ids.to(device, non_blocking=True), self.mask.to(device, non_blocking=True)
        )

    def pin_memory(self) -> "PromptTokens":
        """The same tokens in page-locked memory, which a GPU copies from without waiting."""
        return PromptTokens(self.num_shared, self.ids.pin_memory(), self.mask.pin_memory())


class PromptWriter:
    """Writes and tokenises the prompts of batches, in numpy and the tokenizer's own threads, ahead of the device."""

    def __init__(self, tokenizer: Any, prompt: PromptParams, window: WindowParams, description: str) -> None:
        self.tokenizer, self.prompt, self.window, self.description = tokenizer, prompt, window, description
        probes = [self._tokenise(text) for text in self._probe_texts()]
        self.shared_ids: list[int] = probes[0][: min(common_length(probes[0], other) for other in probes[1:])]
        self.longest_probe = max(len(ids) for ids in probes)

    def text(self, of: WindowStatistics) -> str:
        """The whole prompt of one window."""
        values = [self._number(value) for value in (of.minimum, of.maximum, of.median)]
        if self.prompt.layout == "published":
            return (
                f"<|start_prompt|>Dataset description: {self.description}"
                f"Task description: forecast the next {self.window.pred_len} steps given the previous "
                f"{self.window.seq_len} steps information; "
                "Input statistics: "
                f"min value {values[0]}, max value {values[1]}, median value {values[2]}, "
                f"the trend of input is {of.trend}, top 5 lags are : {of.lags}<|<end_prompt>|>"
            )
        lags = " ".join(map(str, of.lags)) or "none"
        return (
            f"Dataset: {self.description}\n"
            f"Task: forecast the next {self.window.pred_len} steps from the previous {self.window.seq_len} steps.\n"
            "Statistics of the input: minimum, maximum, median, trend, lags that repeat.\n"
            f"Input: {' '.join(values)} {of.trend} {lags}"
        )

    def texts(self, windows: Float[np.ndarray, "batch seq_len"]) -> list[str]:
        """The whole prompt of each window (scaled units)."""
        made = window_statistics(windows, self.prompt.statistics, self.prompt.lags)
        return [self.text(of) for of in made]

    def tokens(self, windows: Float[np.ndarray, "batch seq_len"]) -> PromptTokens:
        """The tokens of a batch of windows (scaled units)."""
        rows: list[list[int]] = self.tokenizer(self.texts(windows))["input_ids"]
        # The probes cover every way a number can begin; should a tokenizer surprise us, less is shared for that batch.
        num_shared = min(common_length(self.shared_ids, row) for row in rows)
        longest = max(len(row) for row in rows) - num_shared
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=bool)
        for number, row in enumerate(rows):
            own = row[num_shared:]
            ids[number, longest - len(own) :] = own
            mask[number, longest - len(own) :] = True
        return PromptTokens(num_shared, torch.from_numpy(ids), torch.from_numpy(mask))

    def _tokenise(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer([text])["input_ids"][0]
        return ids

    def _number(self, value: float) -> str:
        digits = self.prompt.significant_digits
        return str(value) if digits is None else f"{value:.{digits}g}"

    def _probe_texts(self) -> list[str]:
        """Prompts whose first number begins with each sign and digit, so that only what all share counts as shared."""
        values = [float(f"{sign}{digit}.2345678901234567") for sign in ("", "-") for digit in range(10)]
        values.append(-1.2345678806304932e-05)  # as long as a float32 gets when it is written out
        lags = list(range(self.window.seq_len - 5, self.window.seq_len))
        return [self.text(WindowStatistics(value, value, value, "downward", lags)) for value in values]


def common_length(first: list[int], second: list[int]) -> int:
    """How many leading entries two lists share."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def describe_scaled(prompt: PromptParams, scaled_series: pd.DataFrame, scaler: Scaler) -> str:
    """The text that speaks of a scaled series, as `describe_series` makes it."""
    facts, dates = scaled_series.attrs, scaled_series["date"]
    first, last = scaler.rows
    return describe_series(
        prompt,
        channels=scaler.channels,
        frequency=facts["frequency"],
        first=str(dates.iloc[first]),
        last=str(dates.iloc[last - 1]),
        sha256=facts.get("sha256"),
    )


def describe_series(
    prompt: PromptParams, *, channels: list[str], frequency: str, first: str, last: str, sha256: str | None
) -> str:
    """The text that speaks of the series: the given one if it is for this file, a neutral one otherwise.

    Args:
        channels: channels that the model sees.
        first, last: first and last training time stamp.
        sha256: of the raw file; compared with `prompt.description_for`.
    """
    if prompt.description is not None:
        if prompt.description_for in (None, sha256):
            return prompt.description
        log.warning(
            "prompt.description is for another file (sha256 %s…, this one is %s…): a neutral description is used",
            str(prompt.description_for)[:12],
            str(sha256)[:12],
        )
    named = ", ".join(channels[:12]) + (f" and {len(channels) - 12} more" if len(channels) > 12 else "")
    count = "one channel" if len(channels) == 1 else f"{len(channels)} channels"
    words = frequency_in_words(frequency)
    article = "An" if words.startswith(("hourly", "evenly")) else "A"
    return f"{article} {words} series with {count} ({named}) from {first} to {last}."
