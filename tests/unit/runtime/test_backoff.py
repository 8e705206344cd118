"""runtime/backoff.py: growing pauses."""

from __future__ import annotations

from itertools import islice

from fer_edge.runtime.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    assert list(islice(Backoff(1, 60), 8)) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_after_a_reset_they_begin_again() -> None:
    pauses = Backoff(0.5, 30)
    assert list(islice(pauses, 3)) == [0.5, 1, 2]
    pauses.reset()
    assert list(islice(pauses, 2)) == [0.5, 1]


def test_jitter_lengthens_them_differently_but_does_not_add_up() -> None:
    bases = [1, 2, 4, 8, 16, 32, 60, 60]
    one, other = (list(islice(Backoff(1, 60, jitter=0.25), 8)) for _ in range(2))
    assert one != other
    assert all(base <= pause <= base * 1.25 for base, pause in zip(bases, one, strict=True))
