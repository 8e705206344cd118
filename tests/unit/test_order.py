"""The order of the tests in several processes."""

from __future__ import annotations

import pytest

from tests.support.order import long_ones_first

TRAINING = ["tests/quantize/test_a.py"] * 3 + ["tests/quantize/test_b.py"] * 4
OUTSIDE = [f"tests/integration/test_{name}.py" for name in "abcd" for _ in range(5)]
SHORT = [f"tests/unit/test_{name}.py" for name in "abcdef" for _ in range(20)]
FILES = OUTSIDE + TRAINING + SHORT


def shares(processes: int) -> list[list[str]]:
    """What each process starts with, as xdist deals it out."""
    pending = [FILES[index] for index in long_ones_first(FILES, processes)]
    dealt = []
    for left in range(processes, 0, -1):
        count = len(pending) // left
        dealt.append(pending[:count])
        del pending[:count]
    return dealt


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 6, 16, 200])
def test_each_test_is_run_once(processes: int) -> None:
    assert sorted(long_ones_first(FILES, processes)) == list(range(len(FILES)))


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_long_ones_come_first_and_no_file_of_them_is_divided(processes: int) -> None:
    first, *others = shares(processes)
    assert first[: len(TRAINING)] == TRAINING
    assert not set(TRAINING + OUTSIDE) & set(first[len(TRAINING) :])
    for share in others:
        outside = [file for file in share if file in OUTSIDE]
        assert outside
        assert share[: len(outside)] == outside
        assert all(outside.count(file) == 5 for file in outside)
