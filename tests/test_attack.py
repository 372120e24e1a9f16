"""A short form of benchmarks/attack.py: some cases of every class, with the real commands."""

import os

import pytest

if os.name != "posix":  # Windows has no os.fork; the cases also send POSIX signals
    pytest.skip("the benchmark forks its processes", allow_module_level=True)

import attack
from attack_harness import Result

EVERY = 40  # of each class, the first case and every 40th after it
CLASSES = sorted({case.group for case in attack.all_cases()})

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return attack.attack_in_new_process(every=EVERY)


@pytest.mark.parametrize("group", CLASSES)
def test_hostile_input_ends_in_a_result_or_in_three_lines(group: str, results: list[Result]) -> None:
    """No traceback, nothing lost, nothing changed outside the data root."""
    tried = [one for one in results if one.group == group]
    assert tried, "the short form runs a case of every class"
    wrong = [f"{one.name}: {one.wrong}\n{one.tail}" for one in tried if one.wrong is not None]
    assert not wrong, "\n\n".join(wrong)


def test_every_class_has_the_cases_that_the_benchmark_promises() -> None:
    """An empty list of cases would pass without a check."""
    cases = attack.all_cases()
    assert len({(case.group, case.name) for case in cases}) == len(cases), "the names of cases are unique"
    assert sum(case.kind == "input" for case in cases) >= 400
    assert sum(case.kind == "fault" for case in cases) >= 300


def test_a_wrong_case_is_counted_as_wrong() -> None:
    """A harness that cannot fail proves nothing."""
    found = {one.name: one.wrong for one in attack.attack_in_new_process(self_check=True)}
    assert found.pop("three lines") is None
    assert len(found) > 8 and all(found.values()), [name for name, wrong in found.items() if wrong is None]
