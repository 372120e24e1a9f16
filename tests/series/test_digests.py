"""Digests tell whether two things are the same: equal for equal facts, different for the smallest change."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from timellm_pipeline.series.identity import digest_of, digest_of_file, digest_of_frame


def test_digest_of_facts_ignores_the_order_of_keys_alone() -> None:
    """Without it the same facts written in another order would name another training."""
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
    assert len({digest_of(facts) for facts in ([1, 2], [2, 1], ["1", 2], {"a": 1}, {"a": 1.5})}) == 5
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of({"a": float("nan")})


def test_digest_of_frame_sees_labels_types_and_codes() -> None:
    """Without it two frames of equal bytes and different meaning would have one digest."""
    frame = pd.DataFrame({"split": pd.Categorical(["a", "b"], categories=["a", "b"]), "start": np.int32([0, 1])})
    others = [
        frame.assign(split=pd.Categorical(["a", "c"], categories=["a", "c"])),
        frame.assign(split=pd.Categorical(["b", "a"], categories=["a", "b"])),
        frame.assign(start=frame["start"].astype(np.int64)),
    ]
    assert len({digest_of_frame(one) for one in (frame, *others)}) == 4
    assert digest_of_frame(frame) == digest_of_frame(frame.copy())


def test_digest_of_file_is_its_sha256(tmp_path: Path) -> None:
    """Without it the sha256 of a fetched or described file could not be compared with anybody's."""
    (tmp_path / "a.bin").write_bytes(b"abc" * 100_000)
    assert digest_of_file(tmp_path / "a.bin") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_digest_of_frame_does_not_depend_on_how_it_lies_in_memory() -> None:
    """Without it a frame built in another way, of the same values, would be trained on a second time."""
    values = np.arange(12.0).reshape(6, 2)
    one_block = pd.DataFrame(values, columns=["A", "B"])
    by_column = pd.DataFrame({"A": values[:, 0].copy(), "B": values[:, 1].copy()}, index=range(10, 16))
    assert digest_of_frame(one_block) == digest_of_frame(by_column)
    assert digest_of_frame(one_block.iloc[::2]) == digest_of_frame(by_column.iloc[::2].copy())
