"""Row ranges of the training, validation and test splits."""

import pandas as pd
from pydantic import BaseModel, ConfigDict

from timellm_pipeline.errors import SeriesError
from timellm_pipeline.parameters import SplitParams, WindowParams

ROWS_A_MONTH = {"ett_hour": 30 * 24, "ett_minute": 30 * 24 * 4}
ETT_MONTHS = (12, 4, 4)
RANGES = ("train", "validation", "test")
HOW_TO_CHANGE = {
    "recent": "set split.test_rows and split.val_rows",
    "dates": "change split.validation_from and split.test_from",
}
HORIZONS = 24  # length of validation and test (`recent`) in horizons; evaluation/significance.py needs at least 16


class Borders(BaseModel):
    """Half-open row ranges of the splits.

    The validation and test ranges start `seq_len` rows early: these rows are the lookback of their first window.
    """

    model_config = ConfigDict(frozen=True)

    num_rows: int
    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    @property
    def train_rows(self) -> int:
        """Number of training rows. The scaler is fitted on the same rows."""
        return self.train[1] - self.train[0]

    @property
    def lookback(self) -> int:
        """Rows of a lookback (`seq_len`)."""
        return self.validation[1] - self.test[0]


class SplitBorders(BaseModel):
    """Row ranges and channels of one data set.

    Attributes:
        data_id: id of this data preparation: a digest over every input of the scaler, the scaled values and the
            window index. It prevents mixing the data sets of two runs.
        series_digest: digest of the series that the borders were computed for.
        channels: ids of the series that the model uses.
        split: parameters that the borders are computed from.
        borders: row range of each split.
    """

    model_config = ConfigDict(frozen=True)

    data_id: str
    series_digest: str
    channels: list[str]
    split: SplitParams
    borders: Borders


def rows_of(length: int | str | None, frequency: str | None, pred_len: int) -> int:
    """Number of rows of a length that is given as a row count, as a duration, or not at all (24 horizons).

    Raises SeriesError if a duration is given and the steps of `frequency` have no fixed length.
    """
    if length is None:
        return HORIZONS * pred_len + pred_len - 1  # the origins cover the horizons
    if isinstance(length, int):
        return length
    try:
        step = pd.Timedelta(pd.tseries.frequencies.to_offset(str(frequency)).nanos, unit="ns")
    except ValueError as error:
        raise SeriesError(
            f"steps of {frequency} have no fixed length, so {length} cannot be converted to rows",
            where="split.test_rows, split.val_rows",
            do="set them to numbers of rows",
        ) from error
    return max(int(pd.Timedelta(length) / step), 1)


def split_borders(
    num_rows: int,
    split: SplitParams,
    window: WindowParams,
    file: str = "the series",
    frequency: str | None = None,
    stamps: pd.DatetimeIndex | None = None,
) -> Borders:
    """Row ranges of train, validation and test. The last two start with the lookback of their first window.

    ETT files use the published 12/4/4 months of 30 days. Other files use ratios, or the newest rows for test and
    validation; `frequency` converts durations to rows. `train_percent` keeps the first part of the training windows,
    as in few-shot experiments. The scaler is fitted on the rows of these windows only.

    Args:
        num_rows: rows of the time grid.
        file: name of the file in error messages.
        frequency: pandas alias of the step of the grid.
        stamps: time stamps of the grid, as in the file; needed for the method `dates`.

    Raises:
        SeriesError: if the file is too short for the borders, or a range is too short for one window. The message
            contains both lengths.

    Source: Zhou et al. 2021 (Informer), section 5.1; Time-LLM data_provider for ratios and few-shot.
    """
    if split.method == "ratio":
        train_end = int(num_rows * split.train_ratio)
        test_rows = int(num_rows * split.test_ratio)
        validation_end, test_end = num_rows - test_rows, num_rows
    elif split.method == "recent":
        lengths = (split.test_rows, split.val_rows)
        test_rows, val_rows = (rows_of(length, frequency, window.pred_len) for length in lengths)
        train_end, validation_end, test_end = num_rows - test_rows - val_rows, num_rows - test_rows, num_rows
    elif split.method == "dates":
        assert stamps is not None, "the method `dates` needs the time stamps of the grid"
        train_end, validation_end = (_first_row(str(text), stamps) for text in (split.validation_from, split.test_from))
        test_end = num_rows
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
    # `train_percent` is a share of windows, not of rows: the first window needs seq_len rows of lookback.
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
                do=f"lower {'window.seq_len or ' if name == 'train' else ''}window.pred_len, "
                f"{HOW_TO_CHANGE.get(split.method, 'change split')}, "
                "or give a longer series",
            )
    return Borders(
        num_rows=num_rows,
        train=(0, visible_end),
        validation=(train_end - window.seq_len, validation_end),
        test=(validation_end - window.seq_len, test_end),
    )


def _first_row(text: str, stamps: pd.DatetimeIndex) -> int:
    """First row whose time stamp is not before the given one. Zones are compared if both have one."""
    stamp = pd.Timestamp(text)
    if stamp.tzinfo is None or stamps.tz is None:
        stamp, stamps = stamp.tz_localize(None), stamps.tz_localize(None)
    return int(stamps.searchsorted(stamp, side="left"))
