"""Row ranges of training, validation and test."""

import pandas as pd
from pydantic import BaseModel, ConfigDict

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import SplitParams, WindowParams

ROWS_A_MONTH = {"ett_hour": 30 * 24, "ett_minute": 30 * 24 * 4}
ETT_MONTHS = (12, 4, 4)
RANGES = ("train", "validation", "test")


class Borders(BaseModel):
    """Half-open row ranges. Validation and test begin `seq_len` rows early: their first window looks back."""

    model_config = ConfigDict(frozen=True)

    num_rows: int
    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    @property
    def train_rows(self) -> int:
        """Rows that training sees, the scaler's rows too."""
        return self.train[1] - self.train[0]


def rows_of(length: int | str, frequency: str | None) -> int:
    """A number of rows, from one or from a duration. Raises SeriesError where steps have no fixed length."""
    if isinstance(length, int):
        return length
    try:
        step = pd.Timedelta(pd.tseries.frequencies.to_offset(str(frequency)).nanos, unit="ns")
    except ValueError as error:
        raise SeriesError(
            f"steps of {frequency} have no fixed length, so {length} cannot be turned into rows",
            where="split.test_rows, split.val_rows",
            do="give numbers of rows",
        ) from error
    return max(int(pd.Timedelta(length) / step), 1)


def split_borders(
    num_rows: int, split: SplitParams, window: WindowParams, file: str = "the series", frequency: str | None = None
) -> Borders:
    """Row ranges of train, validation and test, the last two with their look-back in front.

    ETT files use the published 12/4/4 months of 30 days; other files use ratios, or the newest rows for test and
    validation (`frequency` turns their durations into rows). `train_percent` keeps the first
    part of the training windows, as few-shot experiments do, and the scaler sees no row beyond it.

    Raises:
        SeriesError: where the file is too short for the borders, or a range for one window; it names both lengths.
    Source: Zhou et al. 2021 (Informer), section 5.1; Time-LLM data_provider for ratios and few-shot.
    """
    if split.method == "ratio":
        train_end = int(num_rows * split.train_ratio)
        test_rows = int(num_rows * split.test_ratio)
        validation_end, test_end = num_rows - test_rows, num_rows
    elif split.method == "recent":
        test_rows, val_rows = (rows_of(length, frequency) for length in (split.test_rows, split.val_rows))
        train_end, validation_end, test_end = num_rows - test_rows - val_rows, num_rows - test_rows, num_rows
    else:
        month = ROWS_A_MONTH[split.method]
        train_end, validation_end, test_end = (month * sum(ETT_MONTHS[: n + 1]) for n in range(3))
        if num_rows < test_end:
            raise SeriesError(
                f"the series has {num_rows:,} rows; split.method={split.method} needs {test_end:,} "
                "(20 months of 30 days)",
                where=file,
                do="use --params split.method=ratio",
            )
    # Few-shot counts windows, not rows: the first window needs seq_len rows before it forecasts anything.
    visible_end = (train_end - window.seq_len) * split.train_percent // 100 + window.seq_len
    rows = {"train": visible_end, "validation": validation_end - train_end, "test": test_end - validation_end}
    needed = {
        "train": window.seq_len + window.pred_len,
        "validation": window.pred_len,
        "test": window.pred_len,
    }
    for name in RANGES:
        if rows[name] < needed[name]:
            raise SeriesError(
                f"the {name} range has {rows[name]:,} of the series' {num_rows:,} rows; one window needs "
                f"{needed[name]:,} (seq_len {window.seq_len}, pred_len {window.pred_len})",
                where=file,
                do=f"lower {'window.seq_len or ' if name == 'train' else ''}window.pred_len, change split, "
                "or give a longer series",
            )
    return Borders(
        num_rows=num_rows,
        train=(0, visible_end),
        validation=(train_end - window.seq_len, validation_end),
        test=(validation_end - window.seq_len, test_end),
    )
