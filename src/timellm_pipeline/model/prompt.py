"""The prompt: text before the patches, tokenised into a part that all windows share and a part per window.

Whole prompts are tokenised, and the shared part is the longest common prefix of tokens: splitting the text first would
change the tokens at the split. The parts of the windows are padded on the left, between shared part and patches. The
padding is masked and has no position, so the result of a window does not depend on its batch.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from timellm_pipeline.errors import PromptError, shown
from timellm_pipeline.model.statistics import WindowStatistics, window_statistics
from timellm_pipeline.parameters import PromptParams, WindowParams
from timellm_pipeline.series.frequency import frequency_in_words
from timellm_pipeline.series.known import KnownValues
from timellm_pipeline.series.panel import Panel
from timellm_pipeline.series.scaling import Scaler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptTokens:
    """Prompt tokens of a batch: the first `num_shared` shared ids of the writer, then the tokens of each window.

    Attributes:
        num_shared: number of leading tokens of `PromptWriter.shared_ids`.
        ids: token ids of each window's own part, padded on the left.
        mask: False for padding.
    """

    num_shared: int
    ids: Int[Tensor, "batch own"]
    mask: Bool[Tensor, "batch own"]

    def to(self, device: torch.device) -> "PromptTokens":
        """The tokens on a device. The copy is non-blocking."""
        return PromptTokens(
            self.num_shared, self.ids.to(device, non_blocking=True), self.mask.to(device, non_blocking=True)
        )

    def pin_memory(self) -> "PromptTokens":
        """The tokens in pinned (page-locked) memory, which allows non-blocking copies to a GPU."""
        return PromptTokens(self.num_shared, self.ids.pin_memory(), self.mask.pin_memory())


class PromptWriter:
    """Writes and tokenises the prompts of batches on the CPU.

    Args:
        tokenizer: fast tokenizer of the backbone.
        prompt, window: the parameter groups with these names.
        description: description of the series.
        positions: positions that the backbone has; None: no limit.

    Attributes:
        shared_ids: token ids that every prompt starts with.
        longest_probe: tokens of the longest of some prompts with long numbers; bounds the prompt length.
        most_tokens: largest number of tokens that leaves positions for the patches; None: no limit.

    Raises PromptError if prompt and patches need more positions than the backbone has.
    """

    def __init__(
        self,
        tokenizer: Any,
        prompt: PromptParams,
        window: WindowParams,
        description: str,
        positions: int | None = None,
    ) -> None:
        self.tokenizer, self.prompt, self.window, self.description = tokenizer, prompt, window, description
        probes = [self._tokenise(text) for text in self._probe_texts()]
        self.shared_ids: list[int] = probes[0][: min(common_length(probes[0], probe) for probe in probes[1:])]
        self.longest_probe = max(len(ids) for ids in probes)
        self.most_tokens = None if positions is None else positions - window.patches_per_window
        if self.most_tokens is not None and self.longest_probe > self.most_tokens:
            raise PromptError(
                f"prompt ({self.longest_probe} tokens) and patches ({window.patches_per_window}) need "
                f"{self.longest_probe + window.patches_per_window} positions; the backbone has {positions}",
                where="prompt.description, window.stride",
                do="shorten prompt.description, or raise window.stride so that a window has fewer patches",
            )

    def about(self, facts: Sequence[str], known: KnownValues | None) -> list[str]:
        """What the prompts say about the series and the known columns of windows; empty if they say nothing.

        Args:
            facts: text about the series of each window, used with `prompt.series_facts: static`.
            known: known columns of the windows.
        """
        parts = [list(facts)] if facts and self.prompt.series_facts == "static" else []
        parts += [] if known is None else [known.words(self.window.seq_len, self._number)]
        return ["; ".join(filter(None, texts)) for texts in zip(*parts)]

    def text(self, of: WindowStatistics, about: str = "") -> str:
        """Prompt of one window with the statistics `of` and what it says about its series."""
        values = [self._number(value) for value in (of.minimum, of.maximum, of.median)]
        if self.prompt.layout == "published":
            return (
                f"<|start_prompt|>Dataset description: {self.description}"
                f"Task description: forecast the next {self.window.pred_len} steps given the previous "
                f"{self.window.seq_len} steps information; "
                f"{f'Series: {about}; ' if about else ''}"
                "Input statistics: "
                f"min value {values[0]}, max value {values[1]}, median value {values[2]}, "
                f"the trend of input is {of.trend}, top 5 lags are : {of.lags}<|<end_prompt>|>"
            )
        lags = " ".join(map(str, of.lags)) or "none"
        return (
            f"Dataset: {self.description}\n"
            f"Task: forecast the next {self.window.pred_len} steps from the previous {self.window.seq_len} steps.\n"
            "Statistics of the input: minimum, maximum, median, trend, lags that repeat.\n"
            + (f"Series: {about}\n" if about else "")
            + f"Input: {' '.join(values)} {of.trend} {lags}"
        )

    def texts(self, windows: Float[np.ndarray, "batch seq_len"], about: Sequence[str] = ()) -> list[str]:
        """Prompt of each window (scaled units); see `about`."""
        statistics = window_statistics(windows, self.prompt.statistics, self.prompt.lags)
        return list(map(self.text, statistics, about or [""] * len(statistics)))

    def tokens(self, windows: Float[np.ndarray, "batch seq_len"], about: Sequence[str] = ()) -> PromptTokens:
        """Prompt tokens of a batch of windows (scaled units); see `about`.

        Raises PromptError for a prompt that is longer than the backbone allows.
        """
        rows: list[list[int]] = self.tokenizer(self.texts(windows, about))["input_ids"]
        self._refuse_long(rows, about)
        # The probes cover every first character of a number. If a tokenizer still differs, fewer tokens are shared.
        num_shared = min(common_length(self.shared_ids, row) for row in rows)
        longest = max(len(row) for row in rows) - num_shared
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=bool)
        for number, row in enumerate(rows):
            own = row[num_shared:]
            ids[number, longest - len(own) :] = own
            mask[number, longest - len(own) :] = True
        return PromptTokens(num_shared, torch.from_numpy(ids), torch.from_numpy(mask))

    def _refuse_long(self, rows: list[list[int]], about: Sequence[str]) -> None:
        longest = max(range(len(rows)), key=lambda number: len(rows[number]))
        if self.most_tokens is not None and len(rows[longest]) > self.most_tokens:
            raise PromptError(
                f"a prompt has {len(rows[longest])} tokens; the backbone has positions for {self.most_tokens}. "
                f"What it says about the series: {shown(about[longest] if about else 'nothing', 200)}",
                where="data.static_columns, data.known_columns",
                do="use fewer or shorter static columns, or set prompt.series_facts=none",
            )

    def _tokenise(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer([text])["input_ids"][0]
        return ids

    def _number(self, value: float) -> str:
        digits = self.prompt.significant_digits
        return str(value) if digits is None else f"{value:.{digits}g}"

    def _probe_texts(self) -> list[str]:
        """Prompts whose first number starts with each sign and digit, so that their common prefix is shared by all."""
        values = [float(f"{sign}{digit}.2345678901234567") for sign in ("", "-") for digit in range(10)]
        values.append(-1.2345678806304932e-05)  # as long as a float32 can be in decimal notation
        lags = list(range(self.window.seq_len - 5, self.window.seq_len))
        return [self.text(WindowStatistics(value, value, value, "downward", lags)) for value in values]


def common_length(first: list[int], second: list[int]) -> int:
    """Length of the longest common prefix of two lists."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def describe_scaled(prompt: PromptParams, scaled: Panel, scaler: Scaler) -> str:
    """Description of a scaled panel for the prompt; see `describe_series`."""
    first, last = scaler.rows
    return describe_series(
        prompt,
        channels=scaler.channels,
        frequency=scaled.frequency,
        first=str(scaled.stamps[first]),
        last=str(scaled.stamps[last - 1]),
        sha256=scaled.source.sha256,
    )


def describe_series(
    prompt: PromptParams, *, channels: list[str], frequency: str, first: str, last: str, sha256: str | None
) -> str:
    """Description of the series for the prompt: `prompt.description` if it is for this file, otherwise a generated one.

    Args:
        prompt: the parameter group `prompt`.
        channels: channels of the model.
        frequency: pandas alias of the step of the grid.
        first, last: first and last training time stamp.
        sha256: digest of the raw file, compared with `prompt.description_for`.
    """
    if prompt.description is not None:
        if prompt.description_for in (None, sha256):
            return prompt.description
        log.warning(
            "prompt.description is for another file (sha256 %s…, this file has %s…): using a generated description",
            str(prompt.description_for)[:12],
            str(sha256)[:12],
        )
    named = ", ".join(channels[:12]) + (f" and {len(channels) - 12} more" if len(channels) > 12 else "")
    count = "one channel" if len(channels) == 1 else f"{len(channels)} channels"
    name = frequency_in_words(frequency)
    article = "An" if name.startswith(("hourly", "evenly")) else "A"
    return f"{article} {name} series with {count} ({named}) from {first} to {last}."
