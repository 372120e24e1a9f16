"""Expected speed of several workers: the arithmetic follows its assumptions, and docs/scale-out.md shows its tables."""

import re
from pathlib import Path

import pytest

from conftest import ROOT
from scaling_arithmetic import MACHINES, NETWORK, NVLINK_4, PCIE, WORKERS, Work, efficiency_table, traffic_table

PAGES = [ROOT / "docs/scale-out.md", ROOT / "docs/zh/scale-out.md"]


def numbers(rows: list[str]) -> list[list[str]]:
    """The numbers of each row, as they are written."""
    return [re.findall(r"[\d.]+", row) for row in rows]


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
def test_the_page_shows_these_tables(page: Path) -> None:
    """A reader who changes an assumption compares the new table with the page."""
    rows = [row for row in page.read_text(encoding="utf-8").splitlines() if row.startswith("|")]
    for table, unit in ((traffic_table(Work()), " ms"), (efficiency_table(Work()), " %")):
        assert numbers([row for row in rows if unit in row]) == numbers(table.splitlines()[2:]), unit


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
def test_the_sentences_have_the_numbers_of_the_arithmetic(page: Path) -> None:
    """A number in a sentence is read more often than one in a table."""
    work, text = Work(), page.read_text(encoding="utf-8")
    for gpu in ("A100", "H100"):
        times = [*work.passes(gpu), sum(work.passes(gpu))]
        shown = re.findall(rf"TFLOP .*{gpu} +([\d.]+) ms", text)
        assert shown == [f"{1e3 * time:.1f}" for time in times], gpu
    sizes = [f"{work.gradient_bytes(prototypes) / 1e6:.0f} MB" for prototypes in ("free", "vocabulary")]
    layers = [f"{work.layer_bytes / 1e9:.1f} GB", f"{3 * work.gathered_bytes(8) / 1e9:.1f} GB"]
    hidden = [rf"\b{work.hidden_from(gpu, link, 8)}\b" for gpu, link in MACHINES if link != NETWORK]
    assert [one for one in sizes + layers + hidden if not re.search(one, text)] == []


def test_one_step_for_each_worker_is_the_traffic_of_a_ring_all_reduce() -> None:
    """The exchange sends the gradient of every step, so fewer workers than steps send more than a ring would."""
    gradients = Work().gradient_bytes("free")
    assert Work(accumulate=8).exchanged_bytes("free", 8) == 2 * 7 / 8 * gradients
    assert Work(accumulate=8).exchanged_bytes("free", 2) == 5 / 2 * gradients
    assert Work(accumulate=8).exchanged_bytes("free", 1) == 0


def test_efficiency_is_one_without_traffic_and_falls_with_it() -> None:
    """An efficiency above one, or one that grows with slower links, is a mistake in the formula."""
    work = Work()
    for gpu, link in MACHINES:
        assert work.efficiency(gpu, link, 1) == work.efficiency(gpu, link, 1, shard=True) == pytest.approx(1)
        free, vocabulary, shared = (
            [work.efficiency(gpu, link, workers, **options) for workers in WORKERS]
            for options in ({}, {"prototypes": "vocabulary"}, {"shard": True})
        )
        apart = [work.efficiency(gpu, link, workers, shard=True, overlap=False) for workers in WORKERS]
        for column in (free, vocabulary, shared, apart):
            assert 1 > column[0] > column[1] > column[2] > 0
        assert all(one > two for one, two in zip(free + shared, vocabulary + apart, strict=True))
    assert work.efficiency("H100", NVLINK_4, 8, shard=True) > work.efficiency("H100", PCIE, 8, shard=True)
    assert Work(accumulate=9).efficiency("H100", NVLINK_4, 8) < 0.6, "a second round for one step"


def test_gathering_is_hidden_from_the_batch_size_that_is_printed() -> None:
    """The advice on the batch size is this number."""
    size = Work().hidden_from("A100", PCIE, 8)
    at, below = (Work(batch_size=batch).efficiency("A100", PCIE, 8, shard=True) for batch in (size, size - 1))
    whole = [Work(batch_size=batch).efficiency("A100", PCIE, 8) for batch in (size, size - 1)]
    assert at == pytest.approx(whole[0], rel=1e-12) and below < whole[1]
